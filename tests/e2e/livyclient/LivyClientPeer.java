// LivyClientPeer.java - a program that uses Livy's own Java client, as those who submit jobs from Java do.
// It reads commands from stdin, one a line, and answers each with one JSON object a line on stdout:
//   open URL         a client of a new session, or of <URL>/sessions/N        {"event":"open"}
//   call TEXT        a job that returns TEXT                                  {"event":"call","result":"…"}
//   upload FILE      as a jar                                                 {"event":"upload"}
//   stop             ends the session and the client                          {"event":"stop"}
// What fails is told with the classes and messages of the exception and its causes, outermost first:
//   {"event":"failed","thrown":["java.lang.RuntimeException: …","java.io.IOException: …"]}
// Usage: java LivyClientPeer

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.livy.Job;
import org.apache.livy.JobContext;
import org.apache.livy.LivyClient;
import org.apache.livy.LivyClientBuilder;

public final class LivyClientPeer {
    private static final long LIMIT_S = 120;
    private static LivyClient client;

    private LivyClientPeer() {
    }

    // What is sent to Livy in serialized form; the stand-in finds the text in it.
    public static final class Say implements Job<String> {
        private static final long serialVersionUID = 1;
        private final String text;

        Say(String text) {
            this.text = "say:" + text;
        }

        @Override
        public String call(JobContext context) {
            return text;
        }
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char each : text.toCharArray()) {
            if (each < ' ' || each == '"' || each == '\\' || each > '~') {
                quoted.append(String.format("\\u%04x", (int) each));
            } else {
                quoted.append(each);
            }
        }
        return quoted.append('"').toString();
    }

    private static String obey(String command, String argument) throws Exception {
        switch (command) {
            case "open":
                client = new LivyClientBuilder(false).setURI(new URI(argument)).build();
                return "";
            case "call":
                return ",\"result\":" + quote(client.submit(new Say(argument)).get(LIMIT_S, TimeUnit.SECONDS));
            case "upload":
                client.uploadJar(new File(argument)).get(LIMIT_S, TimeUnit.SECONDS);
                return "";
            case "stop":
                client.stop(true);
                return "";
            default:
                throw new IllegalArgumentException("no such command: " + command);
        }
    }

    private static String told(Throwable thrown) {
        List<String> chain = new ArrayList<>();
        for (Throwable each = thrown; each != null; each = each.getCause()) {
            chain.add(quote(each.toString()));
        }
        return "{\"event\":\"failed\",\"thrown\":[" + String.join(",", chain) + "]}";
    }

    public static void main(String[] args) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        System.out.println("{\"event\":\"started\"}");
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ", 2);
            String answer;
            try {
                answer = "{\"event\":" + quote(words[0]) + obey(words[0], words.length > 1 ? words[1] : "") + "}";
            } catch (Exception exception) {
                answer = told(exception);
            }
            System.out.println(answer);
            System.out.flush();
        }
    }
}
