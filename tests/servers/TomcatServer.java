// SPDX-License-Identifier: MIT
// Tomcat within a program, on NIO: TomcatServer HTTP-PORT HTTPS-PORT CERTIFICATE KEY DIRECTORY
//
// GET / answers with how the server sees its client. SIGTERM ends it when its clients are served.
import java.io.IOException;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.connector.Request;
import org.apache.catalina.connector.Response;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.ValveBase;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;

public class TomcatServer {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[4]);
        tomcat.setConnector(http(arguments[0]));
        tomcat.setConnector(https(arguments[1], arguments[2], arguments[3]));
        // A valve, since servlets take more packages.
        tomcat.getHost().getPipeline().addValve(new Seen());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(tomcat)));
        tomcat.start();
        System.out.println("listening");
        tomcat.getServer().await();
    }

    static Connector http(String port) {
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(port));
        return connector;
    }

    static Connector https(String port, String certificate, String key) {
        SSLHostConfig host = new SSLHostConfig();
        SSLHostConfigCertificate identity =
            new SSLHostConfigCertificate(host, SSLHostConfigCertificate.Type.UNDEFINED);
        identity.setCertificateFile(certificate);
        identity.setCertificateKeyFile(key);
        host.addCertificate(identity);
        Connector connector = http(port);
        connector.setSecure(true);
        connector.setScheme("https");
        connector.setProperty("SSLEnabled", "true");
        connector.addSslHostConfig(host);
        return connector;
    }

    static void stop(Tomcat tomcat) {
        try {
            tomcat.stop();
        } catch (Exception problem) {
            problem.printStackTrace();
        }
    }

    static class Seen extends ValveBase {
        @Override
        public void invoke(Request request, Response response) throws IOException {
            String host = request.getRemoteAddr();
            System.out.println("seen " + host + " GET " + request.getRequestURI());
            response.getWriter().println("client " + host + " " + request.getRemotePort());
            response.finishResponse();
        }
    }
}
