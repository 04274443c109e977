// Numbers as pairs of floats, high + low with |low| at most half a unit in the last place of high: about 46
// bits. Dekker, "A floating-point technique for extending the available precision", Numerische Mathematik 18,
// 1971; the sum is Knuth's. `precise` keeps compilers from fusing or reordering what is exact only as
// written.
#ifndef MOTE_PAIR_GLSL
#define MOTE_PAIR_GLSL

struct Pair {
    float high, low;
};

// |a| >= |b|, or a is 0.
Pair normalised(float a, float b) {
    precise float high = a + b;
    precise float low = b - (high - a);
    return Pair(high, low);
}

Pair sumOf(float a, float b) {
    precise float high = a + b;
    precise float part = high - a;
    precise float low = (a - (high - part)) + (b - part);
    return Pair(high, low);
}

// Exact where nothing over- or underflows: |a|, |b| below 2^100.
Pair productOf(float a, float b) {
    precise float high = a * b;
    precise float shiftedA = 4097.0 * a, shiftedB = 4097.0 * b; // 2^12 + 1: twelve bits each
    precise float highA = shiftedA - (shiftedA - a), highB = shiftedB - (shiftedB - b);
    precise float lowA = a - highA, lowB = b - highB;
    precise float low = ((highA * highB - high) + highA * lowB + lowA * highB) + lowA * lowB;
    return Pair(high, low);
}

Pair plus(Pair a, Pair b) {
    Pair sum = sumOf(a.high, b.high);
    precise float low = sum.low + (a.low + b.low);
    return normalised(sum.high, low);
}

Pair times(Pair a, float b) {
    Pair product = productOf(a.high, b);
    precise float low = product.low + a.low * b;
    return normalised(product.high, low);
}

Pair times(Pair a, Pair b) {
    Pair product = productOf(a.high, b.high);
    precise float low = product.low + (a.high * b.low + a.low * b.high);
    return normalised(product.high, low);
}

Pair quotient(Pair a, Pair b) {
    precise float guess = a.high / b.high;
    Pair product = times(b, guess);
    precise float rest = ((a.high - product.high) - product.low) + a.low;
    precise float correction = rest / b.high;
    return normalised(guess, correction);
}

// Of a number of at least 0.
Pair squareRoot(Pair a) {
    precise float guess = sqrt(a.high);
    Pair square = productOf(guess, guess);
    precise float rest = ((a.high - square.high) - square.low) + a.low;
    precise float correction = guess > 0.0 ? rest / (2.0 * guess) : 0.0;
    return normalised(guess, correction);
}

// e^a for -87 <= a <= 87: 2^n e^r, |r| <= ln(2) / 2, and Taylor's series. ln 2 in two parts, the first exact
// in 15 bits.
Pair exponential(Pair a) {
    precise float n = floor(a.high * 1.44269504 + 0.5);
    precise float whole = a.high - n * 0.693359375;
    precise float tail = n * 2.12194440e-4 + a.low;
    Pair r = sumOf(whole, tail);
    precise float p = 1.98412698e-4;
    p = p * r.high + 1.38888889e-3;
    p = p * r.high + 8.33333377e-3;
    p = p * r.high + 4.16666679e-2;
    p = p * r.high + 1.66666672e-1;
    p = p * r.high + 0.5;
    Pair linear = sumOf(1.0, r.high);
    precise float rest = linear.low + (r.low + r.high * r.high * p);
    Pair result = normalised(linear.high, rest);
    float scale = uintBitsToFloat(uint(int(n) + 127) << 23);
    return Pair(result.high * scale, result.low * scale);
}

#endif
