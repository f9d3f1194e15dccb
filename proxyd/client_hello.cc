// SPDX-License-Identifier: MIT
//
// The ClientHello, from the TLS records that carry it. Two steps: find where the message lies (it
// may be cut into records anywhere, RFC 8446 section 5.1), then read it once all of it is there.
// Lengths are exact: a block that its content doesn't fill is malformed, because the server behind
// may read such a hello in another way and see another name.
//
// The reasons of Malformed, and what they mean:
//   tls_record_not_handshake      a record in the hello is of another type than handshake
//   tls_record_version            its version is not 3.x
//   tls_record_empty              its length is 0 (forbidden for handshake records)
//   tls_record_too_long           its length is over 16384
//   tls_not_a_client_hello        the first handshake message is another one
//   tls_bytes_after_hello         the hello ends before its record does
//   tls_hello_version             the hello's legacy_version is not 3.x
//   tls_hello_truncated_field     a field before the extensions reaches over the hello's end
//   tls_hello_session_id          longer than 32 bytes
//   tls_hello_cipher_suites       none, or an odd number of bytes
//   tls_hello_compression_methods none
//   tls_hello_extensions          the list's length is not what is left of the hello
//   tls_extension_truncated       an extension reaches over the list's end
//   tls_extension_twice           server_name or ALPN came twice
//   tls_server_name               server_name's list is empty, cut short or has bytes left over
//   tls_server_name_without_host  server_name has names, but none of type host_name
//   tls_alpn                      the list is empty, cut short or has bytes or an empty name in it
//   two_names                     two names of type host_name
//   name_...                      the name must not be used: name_flaw_word()
#include "proxyd/hello.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace proxyd {
namespace {

constexpr uint8_t HandshakeRecord = 22;
constexpr uint8_t VersionMajor = 3;
constexpr size_t RecordHeaderBytes = 5;
constexpr size_t RecordContentBytesMax = 16384;
constexpr uint8_t ClientHelloMessage = 1;
constexpr size_t MessageHeaderBytes = 4;
constexpr size_t RandomBytes = 32;
constexpr size_t SessionIdBytesMax = 32;
constexpr uint8_t HostNameType = 0;

enum Extension : uint32_t { ServerName = 0, Alpn = 16, EncryptedClientHello = 0xfe0d };

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Walks the records without copying. Afterwards either `flaw` or `bytes_missing` says why the
// message can't be read, or it can.
class RecordWalk {
  public:
    explicit RecordWalk(Bytes bytes) : bytes_(bytes) {
        while (flaw_.empty() && bytes_min_ == 0 && !message_is_complete())
            next_record();
    }

    std::string_view flaw() const { return flaw_; }  // "": none so far
    size_t bytes_min() const { return bytes_min_; }  // 0: all is there

    // The message without its header, if it is complete. Only a message in several records is
    // copied, into `storage`.
    Bytes message_body(std::vector<uint8_t>& storage) const {
        const Bytes first = bytes_.subspan(RecordHeaderBytes);
        if (record_begin_ == RecordHeaderBytes + message_bytes_)
            return first.subspan(MessageHeaderBytes, message_bytes_ - MessageHeaderBytes);
        storage.reserve(message_bytes_);
        for (ByteReader reader(bytes_.first(record_begin_)); !reader.at_end();) {
            reader.take(RecordHeaderBytes - 2);
            const Bytes content = *reader.block_u16();
            storage.insert(storage.end(), content.begin(), content.end());
        }
        return Bytes(storage).subspan(MessageHeaderBytes);
    }

  private:
    bool message_is_complete() const {
        return message_bytes_ != 0 && message_bytes_seen_ == message_bytes_;
    }

    // What is there of the record at `record_begin_`; moves on behind it if it is complete. Bytes
    // are judged in their order, so that more of them never change a verdict.
    void next_record() {
        const Bytes record = bytes_.subspan(record_begin_);
        if (record.size() > 0 && record[0] != HandshakeRecord)
            flaw_ = "tls_record_not_handshake";
        else if (record.size() > 1 && record[1] != VersionMajor)
            flaw_ = "tls_record_version";
        if (!flaw_.empty()) return;
        if (record.size() < RecordHeaderBytes) return miss_bytes(record_begin_);

        const size_t content_bytes = size_t{record[3]} << 8 | record[4];
        if (content_bytes == 0)
            flaw_ = "tls_record_empty";
        else if (content_bytes > RecordContentBytesMax)
            flaw_ = "tls_record_too_long";
        if (!flaw_.empty()) return;

        const Bytes content = record.subspan(RecordHeaderBytes);
        read_message_header(content.first(std::min(content.size(), content_bytes)));
        message_bytes_seen_ += content_bytes;
        if (!flaw_.empty()) return;
        if (message_bytes_ != 0 && message_bytes_seen_ > message_bytes_) {
            flaw_ = "tls_bytes_after_hello";
            return;
        }
        const size_t record_end = record_begin_ + RecordHeaderBytes + content_bytes;
        if (record_end > bytes_.size()) return miss_bytes(record_end);
        record_begin_ = record_end;
    }

    // The message's header may be spread over up to four records.
    void read_message_header(Bytes content) {
        if (message_bytes_ != 0) return;
        for (const uint8_t byte : content) {
            if (header_bytes_seen_ == 0 && byte != ClientHelloMessage) {
                flaw_ = "tls_not_a_client_hello";
                return;
            }
            message_header_[header_bytes_seen_++] = byte;
            if (header_bytes_seen_ < MessageHeaderBytes) continue;
            ByteReader length(Bytes(message_header_).subspan(1));
            message_bytes_ = MessageHeaderBytes + *length.u24();
            return;
        }
    }

    // More is needed: up to `next_record_begin` for certain, and behind that what is known to be
    // missing of the message then, in as few records as can carry it.
    void miss_bytes(size_t next_record_begin) {
        const size_t known_bytes = message_bytes_ != 0 ? message_bytes_ : MessageHeaderBytes;
        const size_t rest =
            known_bytes > message_bytes_seen_ ? known_bytes - message_bytes_seen_ : 0;
        const size_t records = (rest + RecordContentBytesMax - 1) / RecordContentBytesMax;
        bytes_min_ = next_record_begin + rest + records * RecordHeaderBytes;
        // Before the very first header is there, it says more than any guess about what follows.
        if (next_record_begin == 0) bytes_min_ = RecordHeaderBytes;
    }

    Bytes bytes_;
    size_t record_begin_ = 0;
    std::array<uint8_t, MessageHeaderBytes> message_header_{};
    size_t header_bytes_seen_ = 0;
    size_t message_bytes_ = 0;       // with its header; 0: not known yet
    size_t message_bytes_seen_ = 0;  // up to the end of the last record whose header was seen
    size_t bytes_min_ = 0;
    std::string_view flaw_;
};

// RFC 6066 section 3. Names of other types are passed over: the RFC gives all future ones a length
// of 16 bits for that purpose, and no server takes its name from one.
std::optional<Malformed> read_server_name(Bytes content, Hello& hello) {
    ByteReader extension(content);
    const auto names = extension.block_u16();
    if (!names || names->empty() || !extension.at_end()) return Malformed{"tls_server_name", {}};

    std::optional<Bytes> host_name;
    ByteReader list(*names);
    while (!list.at_end()) {
        const auto type = list.u8();
        const auto name = list.block_u16();
        if (!name) return Malformed{"tls_server_name", {}};
        if (*type != HostNameType) continue;
        if (host_name) return Malformed{"two_names", std::string(as_text(*name))};
        host_name = name;
    }
    if (!host_name) return Malformed{"tls_server_name_without_host", {}};

    const auto name = DnsName::parse(as_text(*host_name));
    if (!name) return Malformed{name_flaw_word(name.error()), std::string(as_text(*host_name))};
    hello.name = *name;
    return std::nullopt;
}

// RFC 7301 section 3.1.
std::optional<Malformed> read_alpn(Bytes content, Hello& hello) {
    ByteReader extension(content);
    const auto protocols = extension.block_u16();
    if (!protocols || protocols->empty() || !extension.at_end()) return Malformed{"tls_alpn", {}};
    for (ByteReader list(*protocols); !list.at_end();) {
        const auto protocol = list.block_u8();
        if (!protocol || protocol->empty()) return Malformed{"tls_alpn", {}};
    }
    hello.alpn = AlpnList::copy_of(*protocols);
    return std::nullopt;
}

// Only the extensions that decide something here must not come twice; the server judges the rest.
// GREASE values (RFC 8701) are among those that mean nothing here.
std::optional<Malformed> read_extensions(Bytes extensions, Hello& hello) {
    bool has_server_name = false, has_alpn = false;
    ByteReader list(extensions);
    while (!list.at_end()) {
        const auto type = list.u16();
        const auto content = list.block_u16();
        if (!content) return Malformed{"tls_extension_truncated", {}};
        std::optional<Malformed> flaw;
        if (*type == Extension::ServerName) {
            if (std::exchange(has_server_name, true)) return Malformed{"tls_extension_twice", {}};
            flaw = read_server_name(*content, hello);
        } else if (*type == Extension::Alpn) {
            if (std::exchange(has_alpn, true)) return Malformed{"tls_extension_twice", {}};
            flaw = read_alpn(*content, hello);
        } else if (*type == Extension::EncryptedClientHello) {
            hello.has_ech = true;
        }
        if (flaw) return flaw;
    }
    return std::nullopt;
}

// RFC 8446 section 4.1.2. No extensions at all: TLS 1.2 and before allow it, and it gives no name.
HelloOutcome read_message_body(Bytes body) {
    ByteReader reader(body);
    const auto version = reader.u16();
    const auto random = reader.take(RandomBytes);
    const auto session_id = reader.block_u8();
    const auto cipher_suites = reader.block_u16();
    const auto compression_methods = reader.block_u8();
    if (!version || !random || !session_id || !cipher_suites || !compression_methods)
        return Malformed{"tls_hello_truncated_field", {}};
    if (*version >> 8 != VersionMajor) return Malformed{"tls_hello_version", {}};
    if (session_id->size() > SessionIdBytesMax) return Malformed{"tls_hello_session_id", {}};
    if (cipher_suites->empty() || cipher_suites->size() % 2 != 0)
        return Malformed{"tls_hello_cipher_suites", {}};
    if (compression_methods->empty()) return Malformed{"tls_hello_compression_methods", {}};

    Hello hello;
    if (reader.at_end()) return hello;
    const auto extensions = reader.block_u16();
    if (!extensions || !reader.at_end()) return Malformed{"tls_hello_extensions", {}};
    if (const auto flaw = read_extensions(*extensions, hello)) return *flaw;
    return hello;
}

}  // namespace

HelloOutcome parse_client_hello(Bytes bytes) {
    const RecordWalk walk(bytes);
    if (!walk.flaw().empty()) return Malformed{walk.flaw(), {}};
    if (walk.bytes_min() != 0) return NeedMore{walk.bytes_min()};
    std::vector<uint8_t> storage;
    return read_message_body(walk.message_body(storage));
}

}  // namespace proxyd
