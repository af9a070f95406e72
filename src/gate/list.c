/* list.c - the classes that the gate is made of: through them leads every way of Livy 0.5 to 0.9 to its state
 * store and to a port that clients use. SessionStore comes first in each version that was looked at, where
 * the store is ZooKeeper; where it is a file system, that store itself does.
 */
#include "gate.h"

#include <string.h>

/* A thread that is about to prepare a class whose signature begins so is held. */
static const char *const held[] = {
    "Lorg/apache/livy/sessions/SessionManager", "Lorg/apache/livy/server/recovery/",
    "Lorg/apache/livy/server/batch/",           "Lorg/apache/livy/server/interactive/",
    "Lorg/apache/livy/server/WebServer",        "Lorg/eclipse/jetty/server/ServerConnector",
};

/* But for these. They are what Livy connects to ZooKeeper with, and neither read nor write there until
 * SessionStore asks them to; SessionManager's companion is a handful of constants. Held before them, Livy 0.7
 * connects only once it is let go, and its Curator 2.7.1 then loses a second every other time:
 * ConnectionState.process() wakes the one who waits for the connection before it notes the connection, and
 * who looks too early waits for the next second. What creates its directory as soon as it is made,
 * FileSystemStateStore, is not among them.
 */
static const char *const passed[] = {
    "Lorg/apache/livy/sessions/SessionManager$;",  "Lorg/apache/livy/server/recovery/StateStore",
    "Lorg/apache/livy/server/recovery/ZooKeeper",  "Lorg/apache/livy/server/recovery/BlackholeStateStore",
    "Lorg/apache/livy/server/recovery/JsonMapper",
};

/* What must be on the class path, or this is no Livy that the list fits. */
static const char *const wanted[] = {
    "org/apache/livy/server/LivyServer.class",
    "org/apache/livy/sessions/SessionManager.class",
    "org/apache/livy/server/recovery/SessionStore.class",
    "org/apache/livy/server/batch/BatchSession.class",
    "org/apache/livy/server/interactive/InteractiveSession.class",
    "org/apache/livy/server/WebServer.class",
    "org/eclipse/jetty/server/ServerConnector.class",
};

static bool begins(const char *signature, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(signature, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}

bool list_holds(const char *signature)
{
    return begins(signature, held, sizeof(held) / sizeof(held[0])) &&
           !begins(signature, passed, sizeof(passed) / sizeof(passed[0]));
}

static void refuse(const struct gate *gate, const char *what)
{
    char text[GATE_TEXT_SIZE];

    snprintf(text, sizeof(text), "no %s on the class path: this Livy is not one that can be held", what);
    gate_say(gate, GATE_REFUSED, 0, text);
    gate_end(GATE_EXIT_REFUSED, "%s", text);
}

void list_check(struct gate *gate, JNIEnv *jni)
{
    jclass loader = (*jni)->FindClass(jni, "java/lang/ClassLoader");
    jmethodID find = loader == NULL ? NULL
                                    : (*jni)->GetStaticMethodID(jni, loader, "getSystemResource",
                                                                "(Ljava/lang/String;)Ljava/net/URL;");

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        jstring name = find == NULL ? NULL : (*jni)->NewStringUTF(jni, wanted[i]);
        jobject found = name == NULL ? NULL : (*jni)->CallStaticObjectMethod(jni, loader, find, name);
        if ((*jni)->ExceptionCheck(jni))
            (*jni)->ExceptionClear(jni);
        if (found == NULL)
            refuse(gate, wanted[i]);
        (*jni)->DeleteLocalRef(jni, found);
        (*jni)->DeleteLocalRef(jni, name);
    }
    (*jni)->DeleteLocalRef(jni, loader);
}
