package org.apache.livy.server;

import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import org.apache.livy.server.recovery.SessionStore;
import org.apache.livy.sessions.SessionManager;

/**
 * As much of a Livy as the gate is about: two threads that go for the store on ways of their own, then a port.
 * What it does stands in the file that the system property "told" names, line by line.
 */
public final class LivyServer {
    static { // what no gate can know of: a listener on Livy's port before any class of the list
        if (Boolean.getBoolean("early")) {
            try {
                new java.net.ServerSocket(Integer.getInteger("port"));
            } catch (java.io.IOException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        tell("begun");
        if (System.getProperty("first") != null) { // a class that this Livy uses before all others
            Class.forName(System.getProperty("first"));
            tell("first");
        }
        Thread other = new Thread(() -> SessionStore.use(), "other");
        other.start();
        SessionManager.use();
        other.join();
        WebServer.listen();
        if (System.getProperty("port") != null)
            answer(Integer.getInteger("port"));
        tell("listening");
        while (true) {
            if (Boolean.getBoolean("garbage"))
                System.gc();
            else
                Thread.sleep(1000);
        }
    }

    private static void answer(int port) throws java.io.IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 16);
        byte[] body = "{\"version\":\"0\"}".getBytes(StandardCharsets.UTF_8);
        server.createContext("/version", exchange -> {
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }

    public static synchronized void tell(String line) {
        try (FileOutputStream out = new FileOutputStream(System.getProperty("told"), true)) {
            out.write((line + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (java.io.IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
