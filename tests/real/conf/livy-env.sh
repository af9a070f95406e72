# Sourced by bin/livy-server. SPARK_HOME and JAVA_HOME come with the environment of the daemon.
SPARK_LOCAL_IP=127.0.0.1
LIVY_SERVER_JAVA_OPTS="-Xmx256m -XX:+UseSerialGC"
