/* list.c - the classes that the gate is made of: through them leads every way of Livy 0.5 to 0.9 to its state
 * store and to a port that clients use. SessionManager comes first in each version that was looked at.
 */
#include "gate.h"

#include <string.h>

/* A thread that is about to prepare a class whose signature begins so is held. */
static const char *const held[] = {
    "Lorg/apache/livy/sessions/SessionManager", "Lorg/apache/livy/server/recovery/SessionStore",
    "Lorg/apache/livy/server/batch/",           "Lorg/apache/livy/server/interactive/",
    "Lorg/apache/livy/server/WebServer",        "Lorg/eclipse/jetty/server/ServerConnector",
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

bool list_holds(const char *signature)
{
    for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
        if (strncmp(signature, held[i], strlen(held[i])) == 0)
            return true;
    return false;
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
