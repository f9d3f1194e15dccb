// SPDX-License-Identifier: MIT
//
// A web server as people write one with Boost.Asio, which registers a socket with epoll when it
// makes it, before bind. Usage: asio_server PORT. Answers each client with the address that it
// sees.
#include <boost/asio.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

using boost::asio::ip::tcp;

namespace {

class Session : public std::enable_shared_from_this<Session> {
  public:
    explicit Session(tcp::socket client) : client_(std::move(client)) {}

    void start() {
        auto self = shared_from_this();
        boost::asio::async_read_until(client_, boost::asio::dynamic_buffer(request_), "\r\n\r\n",
                                      [self](boost::system::error_code error, std::size_t) {
                                          if (!error) self->answer();
                                      });
    }

  private:
    void answer() {
        boost::system::error_code error;
        const tcp::endpoint peer = client_.remote_endpoint(error);
        if (error) return;
        const std::string body =
            peer.address().to_string() + " " + std::to_string(peer.port()) + "\n";
        answer_ = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body;
        auto self = shared_from_this();
        boost::asio::async_write(client_, boost::asio::buffer(answer_),
                                 [self](boost::system::error_code, std::size_t) {});
    }

    tcp::socket client_;
    std::string request_, answer_;
};

void accept_next(tcp::acceptor& acceptor) {
    acceptor.async_accept([&acceptor](boost::system::error_code error, tcp::socket client) {
        if (!error) std::make_shared<Session>(std::move(client))->start();
        if (acceptor.is_open()) accept_next(acceptor);
    });
}

}  // namespace

int main(int, char** arguments) {
    boost::asio::io_context context;
    const auto port = static_cast<unsigned short>(std::atoi(arguments[1]));
    tcp::acceptor acceptor(context, tcp::endpoint(tcp::v4(), port));
    boost::asio::signal_set signals(context, SIGTERM);
    signals.async_wait([&context](boost::system::error_code, int) { context.stop(); });
    accept_next(acceptor);
    context.run();
}
