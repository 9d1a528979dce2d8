/*
 * compiler.h - what C11 has no word for, under one name for every compiler.
 *
 * What the Windows agent is built of uses nothing else that a compiler added to C (and
 * ERR_PRINTF of err.h), so that Microsoft's could take it: tests/lint/check_compiler.sh.
 */
#ifndef PROTO_BASE_COMPILER_H
#define PROTO_BASE_COMPILER_H

/* COMPILER_INLINE: a static function that becomes part of its callers, whatever its size.
 */
#if defined(__GNUC__)
#define COMPILER_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define COMPILER_INLINE static __forceinline
#else
#define COMPILER_INLINE static inline
#endif

/*
 * COMPILER_CPU_HAS(name): have the CPU and the operating system the instructions "name"?
 * No, for a compiler that has no such question.
 */
#if defined(__GNUC__)
#define COMPILER_CPU_HAS(name) (__builtin_cpu_init(), __builtin_cpu_supports(name) != 0)
#else
#define COMPILER_CPU_HAS(name) 0
#endif

#endif /* PROTO_BASE_COMPILER_H */
