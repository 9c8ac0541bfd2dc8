// jit/ir/math_intervals.cpp -- tanh and erf of f32 as kernel IR: sixteen polynomials, no division
//
// A division would wait for the one divider that a neighbouring sqrt or quotient wants too, and one
// polynomial for all arguments would be thrice as long. In the first interval |x| itself stands for
// f c, so that small arguments keep all their digits; t < f c in all others. Eight intervals would
// want two degrees more: four instructions of 31 in a chain with tanh under AVX-512; AVX2, which
// has to look up twice, would take 0.6 of its time in cache.
#include "jit/ir/math.h"
#include "jit/ir/math_parts.h"

namespace flash::ir {
namespace {

// Quarters of four octaves, 1 … 1.25 to 14 … 16.
constexpr float kTanhRows[16][7] = {
    // |x| < 0.1503: 2^-27.6
    {0, 0, 0, 0x1.6901a8p-21f, -0x1.55604ap-2f, 0x1.8fe4b6p-11f, 0x1.079a20p-3f},
    // < 0.3007: 2^-28.5
    {0x1.cddb00p-3f, 0x1.c62e96p-3f, 0x1.e6d1b6p-1f, -0x1.afd7d6p-3f, -0x1.14aa96p-2f,
     0x1.09a460p-3f, 0x1.540268p-4f},
    // < 0.451: 2^-28.9
    {0x1.80d652p-2f, 0x1.6faffcp-2f, 0x1.bdfcbep-1f, -0x1.4047bep-2f, -0x1.6ca2aep-3f,
     0x1.576252p-3f, 0x1.271360p-6f},
    // < 0.6013: 2^-29.7
    {0x1.0d6770p-1f, 0x1.ee08d0p-2f, 0x1.88d340p-1f, -0x1.7b0a78p-2f, -0x1.3c161ep-4f,
     0x1.48493ep-3f, -0x1.1113fap-5f},
    // < 0.902: 2^-29.0
    {0x1.80e32ap-1f, 0x1.45b99ep-1f, 0x1.30c798p-1f, -0x1.83ca52p-2f, 0x1.5c1154p-5f,
     0x1.963168p-4f, -0x1.02b7eep-4f},
    // < 1.203: 2^-26.3
    {0x1.0d58fcp+0f, 0x1.90b5bep-1f, 0x1.8cc78ep-2f, -0x1.3689d4p-2f, 0x1.bb1896p-4f,
     0x1.16ddb6p-6f, -0x1.49bed2p-5f},
    // < 1.503: 2^-27.2
    {0x1.5a64cep+0f, 0x1.bfe394p-1f, 0x1.e0c6ecp-3f, -0x1.a494b6p-3f, 0x1.9f51fep-4f,
     -0x1.45aa3cp-6f, -0x1.6bc9b4p-7f},
    // < 1.804: 2^-29.1
    {0x1.a751a2p+0f, 0x1.dbd392p-1f, 0x1.172a62p-3f, -0x1.037198p-3f, 0x1.281ecep-4f,
     -0x1.971774p-6f, 0x1.071eb0p-9f},
    // < 2.405: 2^-26.1
    {0x1.0d6c4cp+1f, 0x1.f1040cp-1f, 0x1.d87a36p-5f, -0x1.caa2ecp-5f, 0x1.1fc2d0p-5f,
     -0x1.fbbe32p-7f, 0x1.26611ep-8f},
    // < 3.007: 2^-25.8
    {0x1.5a5d06p+1f, 0x1.fb733ep-1f, 0x1.21e554p-6f, -0x1.1f4942p-6f, 0x1.783d42p-7f,
     -0x1.6f864ep-8f, 0x1.0f4beep-9f},
    // < 3.608: 2^-27.2
    {0x1.a74562p+1f, 0x1.fea0aep-1f, 0x1.5ed98ep-8f, -0x1.5ddbbep-8f, 0x1.cffc2cp-9f,
     -0x1.d24b72p-10f, 0x1.6c201ap-11f},
    // < 4.209: 2^-28.9
    {0x1.f41118p+1f, 0x1.ff9614p-1f, 0x1.a78440p-10f, -0x1.a71be0p-10f, 0x1.19a1f6p-10f,
     -0x1.1d65cap-11f, 0x1.c3c10ep-13f},
    // < 5.412: 2^-25.4
    {0x1.33e3bep+2f, 0x1.ffeea0p-1f, 0x1.1601b0p-12f, -0x1.153974p-12f, 0x1.717842p-13f,
     -0x1.8bcd06p-14f, 0x1.3c12bep-15f},
    // < 6.615: 2^-29.1
    {0x1.8b7bccp+2f, 0x1.fffee0p-1f, 0x1.20409ep-16f, -0x1.203c4ep-16f, 0x1.769610p-17f,
     -0x1.819ea2p-18f, 0x1.c781e2p-19f},
    // < 7.817: 2^-32.4
    {0x1.bec3a6p+2f, 0x1.ffffc6p-1f, 0x1.cfd9d8p-19f, -0x1.d08316p-19f, 0x1.390032p-19f,
     -0x1.31d6e8p-20f, 0x1.4f5c24p-22f},
    // <= 9.02: 2^-35.9
    {0x1.0a2b24p+3f, 0x1.fffffcp-1f, 0x1.ffd1aep-23f, -0x1.ff2fecp-23f, 0x1.5880fcp-23f,
     -0x1.66d8ecp-24f, 0x1.dd2442p-26f},
};
constexpr Intervals<7> kTanh{0x1.20a3d8p+3, 0x1.a9b876p+0, 21, kTanhRows};

// Eighths of two octaves, 1 … 1.125 to 3.75 … 4.
constexpr float kErfRows[16][7] = {
    // |x| < 0.1638: 2^-28.0
    {0, 0, 0x1.06eba8p-3f, 0x1.53599cp-21f, -0x1.812fc0p-2f, 0x1.0fa990p-11f, 0x1.c2a9aap-4f},
    // < 0.3275: 2^-28.3
    {0x1.f712dcp-3f, 0x1.1638dap-2f, 0x1.0ff352p+0f, -0x1.0b3570p-2f, -0x1.3ed740p-2f,
     0x1.ff9b1ap-4f, 0x1.4c4b76p-4f},
    // < 0.4913: 2^-28.6
    {0x1.a33360p-2f, 0x1.bfded4p-2f, 0x1.e89662p-1f, -0x1.9007e2p-2f, -0x1.b11c3cp-3f,
     0x1.62704cp-3f, 0x1.242ff2p-5f},
    // < 0.655: 2^-29.6
    {0x1.257cdep-1f, 0x1.2a34eep-1f, 0x1.9fef38p-1f, -0x1.dcd778p-2f, -0x1.7c483cp-4f,
     0x1.738e32p-3f, -0x1.b686ecp-7f},
    // < 0.8188: 2^-30.7
    {0x1.7948a8p-1f, 0x1.67c04ap-1f, 0x1.4faa06p-1f, -0x1.eeb084p-2f, 0x1.33e1c8p-6f,
     0x1.3b1434p-3f, -0x1.a0d78ap-5f},
    // < 0.9825: 2^-32.0
    {0x1.cd2620p-1f, 0x1.98312ap-1f, 0x1.00b156p-1f, -0x1.ce658ep-2f, 0x1.aa1060p-4f,
     0x1.a86fc4p-4f, -0x1.16d6f0p-4f},
    // < 1.146: 2^-32.0
    {0x1.1074e8p+0f, 0x1.bc4438p-1f, 0x1.743ee2p-2f, -0x1.8c2cd6p-2f, 0x1.3a059cp-3f,
     0x1.84c1d6p-5f, -0x1.0dc19cp-4f},
    // < 1.31: 2^-31.8
    {0x1.3a570ap+0f, 0x1.d5c5c4p-1f, 0x1.ffac4ep-3f, -0x1.3a23c2p-2f, 0x1.57beecp-3f,
     -0x1.393a12p-11f, -0x1.98615ap-5f},
    // < 1.638: 2^-25.9
    {0x1.794dacp+0f, 0x1.ecfd3cp-1f, 0x1.0745f6p-3f, -0x1.840928p-3f, 0x1.258144p-3f,
     -0x1.55a5d8p-5f, -0x1.29e818p-6f},
    // < 1.965: 2^-27.5
    {0x1.cd20f8p+0f, 0x1.fa717ep-1f, 0x1.685912p-5f, -0x1.448daep-4f, 0x1.49b110p-4f,
     -0x1.775d94p-5f, 0x1.1f0116p-7f},
    // < 2.293: 2^-29.5
    {0x1.107a12p+1f, 0x1.feaa1cp-1f, 0x1.8e06bep-7f, -0x1.a7a2a6p-6f, 0x1.0b7346p-5f,
     -0x1.ad34bap-6f, 0x1.94fd20p-7f},
    // < 2.62: 2^-28.8
    {0x1.3a7c7cp+1f, 0x1.ffbcf2p-1f, 0x1.617956p-9f, -0x1.b22b60p-8f, 0x1.462560p-7f,
     -0x1.4be714p-7f, 0x1.c3d436p-8f},
    // < 2.948: 2^-29.7
    {0x1.64dd3cp+1f, 0x1.fff572p-1f, 0x1.f2179cp-12f, -0x1.5b0bccp-10f, 0x1.2db134p-9f,
     -0x1.723894p-9f, 0x1.436aaep-9f},
    // < 3.275: 2^-31.6
    {0x1.930c7cp+1f, 0x1.fffee4p-1f, 0x1.d3ebb8p-15f, -0x1.703b7cp-13f, 0x1.6c8236p-12f,
     -0x1.05d274p-11f, 0x1.4a78b6p-11f},
    // < 3.603: 2^-33.8
    {0x1.bcbb10p+1f, 0x1.ffffe2p-1f, 0x1.b128b6p-18f, -0x1.780050p-16f, 0x1.9d15cap-15f,
     -0x1.522f32p-14f, 0x1.f6ded6p-14f},
    // <= 3.93: 2^-36.2
    {0x1.df38d0p+1f, 0x1.fffffcp-1f, 0x1.ef2902p-21f, -0x1.cef0c8p-19f, 0x1.188ef6p-17f,
     -0x1.f88c14p-17f, 0x1.235c34p-16f},
};
constexpr Intervals<7> kErf{0x1.f70a3ep+1, 0x1.86d6f2p-1, 20, kErfRows};

Value odd_function(const Intervals<7>& f, Expr x) {
  const auto [t, p, centre] = piece(f, at_most(abs(x), f.limit));
  return copy_sign(fma(p, t, select(centre < t, t, centre)), x).v;
}

}  // namespace

Value tanh_f32(Builder& b, Value x) { return odd_function(kTanh, {&b, x}); }
Value erf_f32(Builder& b, Value x) { return odd_function(kErf, {&b, x}); }

}  // namespace flash::ir
