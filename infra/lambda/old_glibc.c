/* Functions of libm that glibc gave a new version after 2.34, which is what provided.al2023 has.
 * A program that is linked on a newer system asks for the new version, and does not start there.
 * The old one is still in every glibc; it computes the same, and sets errno as well.
 * infra/lambda/cc.sh links this into what is deployed.
 */
#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17"
#else
#error "expected x86_64 or aarch64"
#endif

/* hypot and hypotf: new in 2.35, where they no longer set errno. */
__asm__(".symver first_hypot, hypot@" FIRST);
__asm__(".symver first_hypotf, hypotf@" FIRST);
double first_hypot(double, double);
float first_hypotf(float, float);

/* Hidden, or the loader would take these for the old ones, too. */
#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN double hypot(double x, double y) { return first_hypot(x, y); }
HIDDEN float hypotf(float x, float y) { return first_hypotf(x, y); }
