/* Arithmetic beyond sums of products, in two kinds.
 *
 * Plain: what the device does best.
 *
 * REPRODUCIBLE: the same bits on every device. OpenCL C 1.2 (section 7.4) has +, -, * and fma rounded correctly, and conversions
 * from integers exact; it leaves open whether a * b + c is contracted, how exact division and functions are, and whether
 * numbers too small for a normalised float are flushed to zero. So contraction is off and fma spelled out, division and
 * functions are made of those operations and of integers here, and no such small number ever counts:
 *   - Every value that is stored to be a factor later (an activation, weight, gradient) is settled: one below 2^-40 becomes 0.
 *     Such a value is a multiple of 2^-63, so a product of two is one of 2^-126, and so is every sum of products, rounded or
 *     not: it is 0 or large enough to be normalised. The loops over fma need nothing else.
 *   - Elsewhere each operation flushes its result by hand.
 * The order of every sum is fixed by the shapes, and does not depend on VW.
 */
#if REPRODUCIBLE
#pragma OPENCL FP_CONTRACT OFF
#define AS_INTV(v) CAT(as_int, VW)(v)
#define AS_FLOATV(v) CAT(as_float, VW)(v)
#define TO_INTV(v) CAT(convert_int, VW)(v)
#define TO_FLOATV(v) CAT(convert_float, VW)(v)
#define BOTH_KINDS static __attribute__((overloadable, always_inline)) /* of floats and of vectors of them */
#define SMALL(v, bound) isless(fabs(v), bound)

BOTH_KINDS floatv settle(floatv v) { return select(v, SPLAT(0.0f), SMALL(v, SPLAT(0x1p-40f))); }
BOTH_KINDS float settle(float v) { return SMALL(v, 0x1p-40f) ? 0.0f : v; }
BOTH_KINDS floatv flush(floatv v) { return select(v, SPLAT(0.0f), SMALL(v, SPLAT(0x1p-126f))); }
BOTH_KINDS float flush(float v) { return SMALL(v, 0x1p-126f) ? 0.0f : v; }

/* v * 2^e, -200 <= e <= 200, in two factors that are normalised floats. */
static floatv scaled(floatv v, intv e)
{
    intv first = e >> 1;
    return flush(flush(v * AS_FLOATV((first + 127) << 23)) * AS_FLOATV((e - first + 127) << 23));
}

/* a / b within an ulp or two: Newton's iteration for 1 / m, m being b without its exponent, and a correction of the quotient. */
BOTH_KINDS floatv divide(floatv a, floatv b)
{
    intv bits = AS_INTV(b), e = (bits >> 23 & 255) - 127;
    floatv m = AS_FLOATV((bits & (int)0x807fffff) | 0x3f800000), r = copysign(AS_FLOATV(0x7ef311c3 - AS_INTV(fabs(m))), m);
    for (int i = 0; i < 4; i++)
        r = fma(r, fma(-m, r, SPLAT(1.0f)), r);
    floatv q = flush(a * r);
    q = scaled(flush(fma(flush(fma(-m, q, a)), r, q)), -e);
    return select(q, a / b, (b == 0.0f) | (e == 128) | ~isless(fabs(a), SPLAT(INFINITY))); /* exact everywhere: 0, infinity or NaN */
}
BOTH_KINDS float divide(float a, float b) { return divide(SPLAT(a), SPLAT(b)).s0; }

/* The square root within an ulp or two, of v >= 0: Newton's iteration for 1 / sqrt(v), and a correction of the root. */
BOTH_KINDS floatv root(floatv v)
{
    intv small = v < 0x1p-60f;
    floatv w = select(v, v * 0x1p64f, small), h = 0.5f * w, r = AS_FLOATV(0x5f375a86 - (AS_INTV(w) >> 1));
    for (int i = 0; i < 4; i++)
        r = fma(r, fma(-h * r, r, SPLAT(0.5f)), r);
    floatv s = w * r;
    s = fma(fma(-s, s, w), 0.5f * r, s);
    s = select(s, s * 0x1p-32f, small);
    return select(s, v, (v == 0.0f) | ~isless(v, SPLAT(INFINITY)));
}
BOTH_KINDS float root(float v) { return root(SPLAT(v)).s0; }

/* e^r - 1 for |r| <= 0.7, by its series. */
static floatv exp_less_1(floatv r)
{
    floatv sum = SPLAT(2.7557319e-7f);
    sum = fma(sum, r, SPLAT(2.7557319e-6f));
    sum = fma(sum, r, SPLAT(2.4801587e-5f));
    sum = fma(sum, r, SPLAT(1.9841270e-4f));
    sum = fma(sum, r, SPLAT(1.3888889e-3f));
    sum = fma(sum, r, SPLAT(8.3333333e-3f));
    sum = fma(sum, r, SPLAT(4.1666667e-2f));
    sum = fma(sum, r, SPLAT(0.16666667f));
    sum = fma(sum, r, SPLAT(0.5f));
    return flush(fma(flush(sum * r), r, r));
}

/* e^v: v = k log 2 + r. log 2 is taken as two numbers, the first so short that k times it is exact. */
BOTH_KINDS floatv exponential(floatv v)
{
    floatv near = clamp(v, SPLAT(-100.0f), SPLAT(100.0f)), k = rint(near * 1.44269504f);
    floatv r = fma(k, SPLAT(-1.42860677e-6f), fma(k, SPLAT(-0.693145752f), near));
    floatv result = scaled(exp_less_1(flush(r)) + 1.0f, TO_INTV(k));
    return select(result, v, isnan(v));
}
BOTH_KINDS float exponential(float v) { return exponential(SPLAT(v)).s0; }

/* log v for normalised v > 0: v = 2^k m with m near 1, and log m = 2 artanh s with s = (m - 1) / (m + 1), by its series. */
BOTH_KINDS floatv logarithm(floatv v)
{
    intv bits = AS_INTV(v) - 0x3f3504f3; /* of the root of 1/2 */
    floatv m = AS_FLOATV((bits & 0x007fffff) + 0x3f3504f3), k = TO_FLOATV(bits >> 23), s = divide(m - 1.0f, m + 1.0f), z = flush(s * s);
    floatv sum = fma(z, SPLAT(0.18181818f), SPLAT(0.22222222f));
    sum = fma(sum, z, SPLAT(0.28571429f));
    sum = fma(sum, z, SPLAT(0.4f));
    sum = fma(sum, z, SPLAT(0.66666667f));
    sum = fma(sum, flush(z * s), 2.0f * s);
    return select(flush(fma(k, SPLAT(0.693145752f), fma(k, SPLAT(1.42860677e-6f), flush(sum)))), v, ~isless(v, SPLAT(INFINITY)));
}
BOTH_KINDS float logarithm(float v) { return logarithm(SPLAT(v)).s0; }

/* tanh v = t / (t + 2), t being e^(2 |v|) - 1, which near 0 comes from its series. */
static floatv hyperbolic_tangent(floatv v)
{
    floatv twice = min(2.0f * fabs(v), SPLAT(40.0f)), t = select(exponential(twice) - 1.0f, exp_less_1(min(twice, SPLAT(0.7f))), twice < 0.7f);
    return select(copysign(divide(t, t + 2.0f), v), v, isnan(v));
}

/* sin(v + quarters * pi / 2) for |v| up to some thousands: v less so many quarter turns, pi / 2 being taken as two numbers, and the
 * series of sin or cos. */
static floatv sine(floatv v, int quarters)
{
    floatv turns = rint(v * 0.636619772f), r = flush(fma(turns, SPLAT(4.37113883e-8f), fma(turns, SPLAT(-1.57079637f), v))), z = flush(r * r);
    intv quarter = TO_INTV(turns) + quarters;
    floatv odd = fma(z, SPLAT(2.7557319e-6f), SPLAT(-1.9841270e-4f));
    odd = fma(odd, z, SPLAT(8.3333333e-3f));
    odd = fma(odd, z, SPLAT(-0.16666667f));
    odd = fma(flush(odd * z), r, r);
    floatv even = fma(z, SPLAT(-2.7557319e-7f), SPLAT(2.4801587e-5f));
    even = fma(even, z, SPLAT(-1.3888889e-3f));
    even = fma(even, z, SPLAT(4.1666667e-2f));
    even = fma(even, z, SPLAT(-0.5f));
    even = fma(even, z, SPLAT(1.0f));
    floatv result = select(odd, even, (quarter & 1) != 0);
    return select(result, -result, (quarter & 2) != 0);
}

#define SETTLE(v) settle(v)
#define ADD(a, b) flush((a) + (b))
#define SUB(a, b) flush((a) - (b))
#define MUL(a, b) flush((a) * (b))
#define DIV(a, b) divide(a, b)
#define SQRT(v) root(v)
#define EXP(v) exponential(v)
#define LOG(v) logarithm(v)
#define TANH(v) hyperbolic_tangent(v)
#define SIN1(v) sine(SPLAT(v), 0).s0
#define COS1(v) sine(SPLAT(v), 1).s0
#else
#define SETTLE(v) (v)
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
#define SQRT(v) sqrt(v)
#define EXP(v) exp(v)
#define LOG(v) log(v)
#define TANH(v) tanh(v)
#define SIN1(v) sin(v)
#define COS1(v) cos(v)
#endif

/* v / 255 of type T (float or floatv) for v = 0 or 2^-90 < v < 2^120, rounded correctly in either kind: OpenCL lets v / 255.0f be off by
 * 2.5 ulp. A quotient by the reciprocal, and its correction by the remainder, which is exact. v is evaluated more than once. */
#define NEAR_255TH(T, v) ((v) * (T)(0x1.010102p-8f))
#define DIV_255(T, v) fma(fma(-NEAR_255TH(T, v), (T)(255.0f), v), (T)(0x1.010102p-8f), NEAR_255TH(T, v))
