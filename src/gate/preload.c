/* preload.c - the classes that a serving Livy had loaded: written down then, and loaded beforehand by the
 * next one while the gate is shut. Loaded, not initialised: no code of them runs.
 */
#include "gate.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE 1024
static const char agent_file; /* anything of ours, for dladdr(3) */
#define CLASSES_MAX 100000    /* of a file that is ours, but lies on a disk */

/* ---- loading ---- */

struct loader {
    JNIEnv *jni;
    jclass class; /* java.lang.Class */
    jmethodID for_name;
    jobject system;
};

static bool find_loader(JNIEnv *jni, struct loader *loader)
{
    jclass class_loader = (*jni)->FindClass(jni, "java/lang/ClassLoader");
    jmethodID get = class_loader == NULL
                        ? NULL
                        : (*jni)->GetStaticMethodID(jni, class_loader, "getSystemClassLoader",
                                                    "()Ljava/lang/ClassLoader;");
    loader->jni = jni;
    loader->class = get == NULL ? NULL : (*jni)->FindClass(jni, "java/lang/Class");
    if (loader->class == NULL)
        return false;
    loader->for_name = (*jni)->GetStaticMethodID(
        jni, loader->class, "forName", "(Ljava/lang/String;ZLjava/lang/ClassLoader;)Ljava/lang/Class;");
    loader->system = (*jni)->CallStaticObjectMethod(jni, class_loader, get);
    return loader->for_name != NULL && loader->system != NULL && !(*jni)->ExceptionCheck(jni);
}

static bool load(const struct loader *loader, const char *name)
{
    JNIEnv *jni = loader->jni;
    jstring text = (*jni)->NewStringUTF(jni, name);
    jobject found = text == NULL ? NULL
                                 : (*jni)->CallStaticObjectMethod(jni, loader->class, loader->for_name, text,
                                                                  JNI_FALSE, loader->system);
    bool loaded = found != NULL;

    if ((*jni)->ExceptionCheck(
            jni)) /* another Livy, another set of jars: one that is not there costs nothing */
        (*jni)->ExceptionClear(jni);
    (*jni)->DeleteLocalRef(jni, found);
    (*jni)->DeleteLocalRef(jni, text);
    return loaded;
}

/* What was written down here, else the list beside the agent: what a Livy 0.7.1 loads after the gate
 * (tests/real/classes). A runtime directory is empty after each boot. */
static FILE *open_list(const struct gate *gate)
{
    char path[PATH_MAX];
    Dl_info agent;
    FILE *file = fopen(gate->record, "re");

    if (file != NULL || errno != ENOENT || dladdr(&agent_file, &agent) == 0)
        return file;
    const char *slash = strrchr(agent.dli_fname, '/');
    int length = slash == NULL ? -1
                               : snprintf(path, sizeof(path), "%.*s/livy-classes",
                                          (int)(slash - agent.dli_fname), agent.dli_fname);
    return length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
}

static void JNICALL preload(jvmtiEnv *jvmti, JNIEnv *jni, void *arg)
{
    struct gate *gate = arg;
    struct loader loader = {0};
    char name[NAME_SIZE];
    uint32_t count = 0;
    FILE *file = open_list(gate);

    (void)jvmti;
    if (file != NULL && find_loader(jni, &loader)) {
        for (int i = 0;
             i < CLASSES_MAX && !atomic_load(&gate->open) && fgets(name, sizeof(name), file) != NULL; i++) {
            name[strcspn(name, "\n")] = '\0';
            count += load(&loader, name) ? 1 : 0;
        }
    }
    if (file != NULL)
        (void)fclose(file);
    if ((*jni)->ExceptionCheck(jni))
        (*jni)->ExceptionClear(jni);
    gate_say(gate, GATE_LOADED, count, "");
}

void preload_start(struct gate *gate, JNIEnv *jni)
{
    jclass class = (*jni)->FindClass(jni, "java/lang/Thread");
    jmethodID make =
        class == NULL ? NULL : (*jni)->GetMethodID(jni, class, "<init>", "(Ljava/lang/String;)V");
    jstring name = make == NULL ? NULL : (*jni)->NewStringUTF(jni, "livy-ha-preload");
    jobject thread = name == NULL ? NULL : (*jni)->NewObject(jni, class, make, name);

    if ((*jni)->ExceptionCheck(jni))
        (*jni)->ExceptionClear(jni);
    if (gate->record == NULL || thread == NULL ||
        (*gate->jvmti)->RunAgentThread(gate->jvmti, thread, preload, gate, JVMTI_THREAD_MIN_PRIORITY) !=
            JVMTI_ERROR_NONE)
        gate_say(gate, GATE_LOADED, 0, "");
}

/* ---- writing down ---- */

/* "Lorg/apache/…;" to "org.apache.…"; false for what is no file's class: arrays, what is made at run time. */
static bool class_name(const char *signature, char *name, size_t size)
{
    size_t length = strlen(signature);

    if (signature[0] != 'L' || length < 3 || length - 2 >= size || strpbrk(signature, "+") != NULL ||
        strstr(signature, "$$Lambda") != NULL || strstr(signature, "$Proxy") != NULL ||
        strstr(signature, "/0x") != NULL || strstr(signature, ".0x") != NULL ||
        strstr(signature, "/Generated") != NULL)
        return false;
    for (size_t i = 0; i < length - 2; i++)
        name[i] = (char)(signature[i + 1] == '/' ? '.' : signature[i + 1]);
    name[length - 2] = '\0';
    return true;
}

static uint32_t write_classes(jvmtiEnv *jvmti, const jclass *classes, jint n, FILE *file)
{
    char name[NAME_SIZE];
    uint32_t count = 0;

    for (jint i = 0; i < n; i++) {
        char *signature = NULL;
        if ((*jvmti)->GetClassSignature(jvmti, classes[i], &signature, NULL) != JVMTI_ERROR_NONE)
            continue;
        if (class_name(signature, name, sizeof(name)) && fprintf(file, "%s\n", name) > 0)
            count++;
        (*jvmti)->Deallocate(jvmti, (unsigned char *)signature);
    }
    return count;
}

/* In the order in which they were loaded, as HotSpot lists the newest first. */
static uint32_t record(const struct gate *gate, char *why, size_t size)
{
    jvmtiEnv *jvmti = gate->jvmti;
    char path[4096];
    jint n = 0;
    jclass *classes = NULL;

    if ((*jvmti)->GetLoadedClasses(jvmti, &n, &classes) != JVMTI_ERROR_NONE) {
        snprintf(why, size, "the JVM does not tell its classes");
        return 0;
    }
    snprintf(path, sizeof(path), "%.4000s.new", gate->record);
    FILE *file = fopen(path, "we");
    uint32_t count = file != NULL ? write_classes(jvmti, classes, n, file) : 0;
    (*jvmti)->Deallocate(jvmti, (unsigned char *)classes);
    if (file != NULL && (fclose(file) != 0 || rename(path, gate->record) != 0))
        count = 0;
    if (count == 0)
        snprintf(why, size, "%.160s: %s", path, strerror(errno));
    return count;
}

static void *record_thread(void *arg)
{
    const struct gate *gate = arg;
    JNIEnv *jni = NULL;
    char why[GATE_TEXT_SIZE] = "";
    uint32_t count = 0;

    if ((*gate->vm)->AttachCurrentThreadAsDaemon(gate->vm, (void **)&jni, NULL) == JNI_OK) {
        count = record(gate, why, sizeof(why));
        (void)(*gate->vm)->DetachCurrentThread(gate->vm);
    }
    gate_say(gate, GATE_RECORDED, count, why);
    return NULL;
}

void preload_record(struct gate *gate)
{
    pthread_t thread;
    int rc = gate->record == NULL || gate->jvmti == NULL ? ENOENT
                                                         : pthread_create(&thread, NULL, record_thread, gate);

    if (rc == 0)
        (void)pthread_detach(thread);
    else
        gate_say(gate, GATE_RECORDED, 0, strerror(rc));
}
