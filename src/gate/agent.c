/* agent.c - what the JVM calls:
 * -agentpath:…/liblivy-ha-gate.so=[hold,]channel=FD[,page=FD[,until-open]][,record=FILE]
 *
 * A class is prepared before any code of it runs, in the thread that needs it. A thread that is about to
 * prepare a class of the list waits here, in native code, where it holds up neither the garbage collector nor
 * any other thread that does not need that class.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

static struct gate *gate_of(jvmtiEnv *jvmti)
{
    void *found = NULL;
    return (*jvmti)->GetEnvironmentLocalStorage(jvmti, &found) == JVMTI_ERROR_NONE ? found : NULL;
}

/* ---- the gate ---- */

static bool is_held(jvmtiEnv *jvmti, jclass class, char *name, size_t size)
{
    char *signature = NULL;

    if ((*jvmti)->GetClassSignature(jvmti, class, &signature, NULL) != JVMTI_ERROR_NONE)
        return true; /* what cannot be told is let through no more than what is on the list */
    bool found = list_holds(signature);
    snprintf(name, size, "%s", signature);
    (*jvmti)->Deallocate(jvmti, (unsigned char *)signature);
    return found;
}

static void JNICALL on_prepare(jvmtiEnv *jvmti, JNIEnv *jni, jthread thread, jclass class)
{
    struct gate *gate = gate_of(jvmti);
    char name[GATE_TEXT_SIZE] = "";

    (void)thread;
    if (atomic_load(&gate->open)) { /* let go before anybody came here */
        (void)(*jvmti)->SetEventNotificationMode(jvmti, JVMTI_DISABLE, JVMTI_EVENT_CLASS_PREPARE, NULL);
        return;
    }
    if (!is_held(jvmti, class, name, sizeof(name)))
        return;
    pthread_mutex_lock(&gate->lock);
    bool first = gate->shut && !gate->held;
    gate->held = true;
    pthread_mutex_unlock(&gate->lock);
    if (first) {
        gate_say(gate, GATE_HELD, 0, name);
        preload_start(gate, jni);
    }
    pthread_mutex_lock(&gate->lock);
    while (gate->shut)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    (void)(*jvmti)->SetEventNotificationMode(jvmti, JVMTI_DISABLE, JVMTI_EVENT_CLASS_PREPARE, NULL);
}

static void JNICALL on_init(jvmtiEnv *jvmti, JNIEnv *jni, jthread thread)
{
    struct gate *gate = gate_of(jvmti);

    (void)thread;
    list_check(gate, jni);
    if ((*jvmti)->SetEventNotificationMode(jvmti, JVMTI_ENABLE, JVMTI_EVENT_CLASS_PREPARE, NULL) !=
        JVMTI_ERROR_NONE)
        gate_end(GATE_EXIT_REFUSED, "this JVM tells of no classes");
    gate_say(gate, GATE_READY, 0, "");
}

/* ---- the start ---- */

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end != text && *end == '\0' && value > 2 && value < 1 << 20 ? (int)value : -1;
}

static bool map_page(struct gate *gate, int fd)
{
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*gate->page), PROT_READ, MAP_SHARED, fd, 0);

    if (page == MAP_FAILED)
        return false;
    gate->page = page;
    return true;
}

static bool take_option(struct gate *gate, const char *option)
{
    if (strcmp(option, "hold") == 0)
        return gate->shut = true;
    if (strncmp(option, "channel=", 8) == 0)
        return (gate->channel = number(option + 8)) >= 0;
    if (strncmp(option, "page=", 5) == 0)
        return map_page(gate, number(option + 5));
    if (strcmp(option, "until-open") == 0)
        return gate->until_open = true;
    return strncmp(option, "record=", 7) == 0 && (gate->record = strdup(option + 7)) != NULL;
}

/* The last option, record=, may hold commas. */
static bool take_options(struct gate *gate, char *options)
{
    for (char *at = options; at != NULL;) {
        char *comma = strncmp(at, "record=", 7) != 0 ? strchr(at, ',') : NULL;
        if (comma != NULL)
            *comma = '\0';
        if (!take_option(gate, at))
            return false;
        at = comma != NULL ? comma + 1 : NULL;
    }
    return gate->channel >= 0 && fcntl(gate->channel, F_SETFD, FD_CLOEXEC) == 0;
}

/* Livy is as well off without: its start script has closed the channel, for one. */
static bool only_records(const char *options)
{
    const char *comma = options != NULL ? strchr(options, ',') : NULL;
    return comma != NULL && strncmp(options, "channel=", 8) == 0 && strncmp(comma, ",record=", 8) == 0;
}

static jint start(struct gate *gate)
{
    jvmtiEventCallbacks calls = {.VMInit = on_init, .ClassPrepare = on_prepare};
    jvmtiEnv *jvmti = gate->jvmti;

    bool hold = gate->shut; /* the thread of gate_watch may open it at once */

    atomic_store(&gate->open, !hold);
    if (hold && setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL) != 0) /* GATE_UNGATED_MS: here we are */
        return JNI_ERR;
    gate_watch(gate); /* the lease, before all that takes time */
    if (!hold)
        return JNI_OK;
    bool set = (*jvmti)->SetEnvironmentLocalStorage(jvmti, gate) == JVMTI_ERROR_NONE &&
               (*jvmti)->SetEventCallbacks(jvmti, &calls, sizeof(calls)) == JVMTI_ERROR_NONE &&
               (*jvmti)->SetEventNotificationMode(jvmti, JVMTI_ENABLE, JVMTI_EVENT_VM_INIT, NULL) ==
                   JVMTI_ERROR_NONE;
    return set ? JNI_OK : JNI_ERR;
}

/* An agent that cannot be loaded ends the JVM: nothing of Livy has run by then. */
JNIEXPORT jint JNICALL Agent_OnLoad(JavaVM *vm, char *options, void *reserved)
{
    struct gate *gate = calloc(1, sizeof(*gate));
    char *copy = strdup(options != NULL ? options : "");

    (void)reserved;
    if (gate == NULL || copy == NULL)
        gate_end(GATE_EXIT_REFUSED, "out of memory");
    *gate = (struct gate){
        .vm = vm, .channel = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};
    bool taken = take_options(gate, copy);
    free(copy);
    if (!taken && only_records(options)) {
        free(gate);
        return JNI_OK;
    }
    if (!taken)
        gate_end(GATE_EXIT_REFUSED, "this agent is loaded by livy-ha, not by hand (options \"%s\")", options);
    if ((*vm)->GetEnv(vm, (void **)&gate->jvmti, JVMTI_VERSION_1_2) != JNI_OK)
        gate_end(GATE_EXIT_REFUSED, "this JVM has no tool interface 1.2");
    jint rc = start(gate);
    if (rc != JNI_OK)
        gate_end(GATE_EXIT_REFUSED, "this JVM lets nobody look at its classes");
    return rc;
}
