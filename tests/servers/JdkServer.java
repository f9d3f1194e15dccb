// SPDX-License-Identifier: MIT
// The JDK's own servers for HTTP and HTTPS, on NIO: JdkServer HTTP-PORT HTTPS-PORT KEYSTORE PASSWORD
//
// GET / answers with how the server sees its client. SIGTERM ends it when its clients are served.
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

public class JdkServer {
    static final int StopSecondsMax = 1;

    public static void main(String[] arguments) throws Exception {
        HttpsServer https = HttpsServer.create(address(arguments[1]), 0);
        https.setHttpsConfigurator(new HttpsConfigurator(identity(arguments[2], arguments[3].toCharArray())));
        start(https);
        start(HttpServer.create(address(arguments[0]), 0));
        System.out.println("listening");
    }

    static InetSocketAddress address(String port) {
        return new InetSocketAddress(Integer.parseInt(port));
    }

    static void start(HttpServer server) {
        server.createContext("/", JdkServer::serve);
        server.setExecutor(Executors.newFixedThreadPool(4));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(StopSecondsMax)));
        server.start();
    }

    static void serve(HttpExchange exchange) throws IOException {
        InetSocketAddress client = exchange.getRemoteAddress();
        String host = client.getAddress().getHostAddress();
        System.out.println("seen " + host + " " + exchange.getRequestMethod() + " " + exchange.getRequestURI());
        byte[] text = ("client " + host + " " + client.getPort() + "\n").getBytes();
        exchange.sendResponseHeaders(200, text.length);
        exchange.getResponseBody().write(text);
        exchange.close();
    }

    static SSLContext identity(String keystore, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(keystore)) {
            store.load(file, password);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return context;
    }
}
