// CuratorPeer.java - a member of the latch that is Apache Curator's own LeaderLatch: the other side of the wire
// format that livy-ha has to speak. Joins <latch> with an id and prints one JSON object a line:
//   {"event":"started"} {"event":"isLeader"} {"event":"notLeader"} {"event":"connection","state":"CONNECTED"}
//   {"event":"participants","ids":["a","b"],"leader":"a","leading":false}   for each line "participants" on stdin
//   {"event":"closed"}                                                      after "close" or the end of stdin
// Usage: java CuratorPeer HOSTS LATCH ID SESSION_MS

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.retry.RetryNTimes;

public final class CuratorPeer {
    private CuratorPeer() {
    }

    private static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    // Listeners call from Curator's threads: one line at a time.
    private static synchronized void say(String event, String more) {
        System.out.println("{\"event\":" + quote(event) + more + "}");
        System.out.flush();
    }

    private static void sayParticipants(LeaderLatch latch) throws Exception {
        List<String> ids = new ArrayList<>();
        for (Participant participant : latch.getParticipants()) {
            ids.add(quote(participant.getId()));
        }
        say("participants", ",\"ids\":[" + String.join(",", ids) + "],\"leader\":"
                + quote(latch.getLeader().getId()) + ",\"leading\":" + latch.hasLeadership());
    }

    public static void main(String[] args) throws Exception {
        int session = Integer.parseInt(args[3]);
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], session, 15000, new RetryNTimes(5, 200));
        client.getConnectionStateListenable().addListener(
                (framework, state) -> say("connection", ",\"state\":" + quote(state.name())));
        client.start();
        client.blockUntilConnected();
        LeaderLatch latch = new LeaderLatch(client, args[1], args[2]);
        latch.addListener(new LeaderLatchListener() {
            @Override
            public void isLeader() {
                say("isLeader", "");
            }

            @Override
            public void notLeader() {
                say("notLeader", "");
            }
        });
        latch.start();
        say("started", "");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null && !line.equals("close"); line = input.readLine()) {
            if (line.equals("participants")) {
                sayParticipants(latch);
            }
        }
        latch.close();
        client.close();
        say("closed", "");
    }
}
