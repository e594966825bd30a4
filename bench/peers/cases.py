"""What is compared, and how much it should be: a share of the ceiling measured in the same run, a ratio to a peer.

figure  what a round is judged by: "decode", "prefill", "attend" (decode's attention alone), "load"
share   the bar for the share of the ceiling; ratio: for the rate over llama.cpp's; either: one of them is enough
mlx     whether mlx takes part: its CPU build makes one token a second in bf16, and a tenth of one in 4 bits
"""

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"


def case(name, text, figure, bits=4, **rest):
    plan = {"shape": "llama-3.2-1b", "bits": bits, "prompt": 0, "generate": 0, "depth": 0, "share": None,
            "ratio": None, "either": False, "mlx": False}
    plan |= {"decode": {"prompt": 16, "generate": 48}, "prefill": {"prompt": 512}, "load": {"prompt": 1},
             "attend": {"prompt": 16, "generate": 16}}[figure]
    return {"name": name, "text": text, "figure": figure} | plan | rest


CASES = [
    case("decode-bf16", "decode, 1B, bf16", "decode", 16, share=0.90, ratio=1.3, either=True, mlx=True),
    case("decode-4", "decode, 1B, 4 bit", "decode", 4, share=0.85, ratio=2.0),
    case("decode-8", "decode, 1B, 8 bit", "decode", 8, share=0.80),
    case("decode-6", "decode, 1B, 6 bit", "decode", 6, share=0.80),
    case("decode-5", "decode, 1B, 5 bit", "decode", 5, share=0.80),
    case("decode-3", "decode, 1B, 3 bit", "decode", 3, share=0.80),
    case("decode-2", "decode, 1B, 2 bit", "decode", 2, share=0.80),
    case("decode-smollm2", "decode, SmolLM2 (Q4_1)", "decode", 4, model=SMOLLM2, generate=128, ratio=2.5),
    case("decode-8192", "attention at 8,192 tokens", "attend", 4, depth=8192, share=0.70),
    case("prefill-bf16", "prefill 512, 1B, bf16", "prefill", 16, share=0.50, ratio=8.0),
    case("prefill-bf16-rounded", "the same, --activations bf16", "prefill", 16, share=0.50, ratio=8.0,
         flags=["--activations", "bf16"]),
    case("prefill-4", "prefill 512, 1B, 4 bit", "prefill", 4, share=0.40, ratio=6.0),
    case("decode-4-avx2", "decode, 1B, 4 bit, AVX2", "decode", 4, ratio=1.3, environment={"FFAI_ISA": "avx2"},
         llama="avx2"),
    case("load-8b", "load, 8B, 4 bit", "load", 4, shape="llama-3.1-8b", gb_s=3.0, peer=False),
]
