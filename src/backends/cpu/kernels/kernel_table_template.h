/* Template: the members of a tier's ffai__kernels. */
.rms_norm = rms_norm,
    .rotate = rotate, .silu = silu, .swiglu = swiglu, .mul = mul, .add = add,
    .scores = {[FFAI__STORE_BF16] = scores_bf16, [FFAI__STORE_F16] = scores_f16, [FFAI__STORE_F32] = scores_f32},
    .softmax = softmax,
    .accumulate =
        {[FFAI__STORE_BF16] = accumulate_bf16, [FFAI__STORE_F16] = accumulate_f16, [FFAI__STORE_F32] = accumulate_f32},
    .merge = merge, .finish = finish,
