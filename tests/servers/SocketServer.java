// SPDX-License-Identifier: MIT
// Sockets of java.net, which block: SocketServer HTTP-PORT HTTPS-PORT KEYSTORE PASSWORD
//
// One listener waits with setSoTimeout, the one for TLS for as long as it takes. A thread for each client, which is a
// virtual one where Java has them (21), answers any request with how the server sees its client. SIGTERM closes the
// listeners while other threads wait in accept.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;

public class SocketServer {
    static final int WaitMs = 50, StopMsMax = 1000;
    static ExecutorService threads;

    public static void main(String[] arguments) throws Exception {
        threads = threads();
        ServerSocket http = new ServerSocket(Integer.parseInt(arguments[0]));
        http.setSoTimeout(WaitMs);
        start(http);
        start(JdkServer.identity(arguments[2], arguments[3].toCharArray()).getServerSocketFactory()
            .createServerSocket(Integer.parseInt(arguments[1])));
        System.out.println("listening on " + http.getLocalSocketAddress());
    }

    static ExecutorService threads() throws Exception {
        try {
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (NoSuchMethodException older) {
            return Executors.newCachedThreadPool();
        }
    }

    static void start(ServerSocket listener) {
        Thread acceptor = new Thread(() -> acceptAll(listener));
        acceptor.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(listener, acceptor)));
    }

    static void acceptAll(ServerSocket listener) {
        // The first task of the executor, so that a virtual thread waits for clients, too.
        try {
            threads.submit(() -> accept(listener)).get();
        } catch (Exception problem) {
            problem.printStackTrace();
        }
    }

    static void accept(ServerSocket listener) {
        while (!listener.isClosed()) {
            try {
                Socket client = listener.accept();
                threads.execute(() -> serve(client));
            } catch (SocketTimeoutException nobody) {
                continue;
            } catch (IOException closed) {
                System.out.println("accept ends: " + closed.getMessage());
            }
        }
    }

    static void serve(Socket client) {
        try (client) {
            BufferedReader reader = new BufferedReader(new InputStreamReader(client.getInputStream()));
            String request = reader.readLine();
            if (request == null) return;
            while (!reader.readLine().isEmpty()) continue;
            String host = client.getInetAddress().getHostAddress();
            System.out.println("seen " + host + " " + request);
            String text = "client " + host + " " + client.getPort() + "\n";
            client.getOutputStream().write(("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + text.length()
                + "\r\n\r\n" + text).getBytes());
        } catch (IOException gone) {
            System.out.println("a client is gone: " + gone.getMessage());
        }
    }

    static void stop(ServerSocket listener, Thread acceptor) {
        try {
            listener.close();
            acceptor.join(StopMsMax);
        } catch (IOException | InterruptedException problem) {
            problem.printStackTrace();
        }
    }
}
