// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "parts.h"

static void a_tensors_name_says_which_part_it_is_of(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        ffai__part part;
    } cases[] = {
        {"model.layers.0.self_attn.q_proj.weight", FFAI__PART_TEXT},
        {"language_model.model.layers.0.mlp.up_proj.weight", FFAI__PART_TEXT},
        {"model.text_model.norm.weight", FFAI__PART_TEXT},
        {"lm_head.weight", FFAI__PART_TEXT},
        {"visualizer.weight", FFAI__PART_TEXT},
        {"model.layers.0.vision_tower.weight", FFAI__PART_TEXT},
        {"vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", FFAI__PART_VISION},
        {"model.vision_tower.patch_conv.weight", FFAI__PART_VISION},
        {"visual.blocks.0.attn.qkv.weight", FFAI__PART_VISION},
        {"image_newline", FFAI__PART_VISION},
        {"audio_tower.conv1.bias", FFAI__PART_AUDIO},
        {"multi_modal_projector.linear_1.weight", FFAI__PART_PROJECTOR},
        {"model.connector.modality_projection.proj.weight", FFAI__PART_PROJECTOR},
        {"", FFAI__PART_TEXT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (ffai__part_of(cases[i].name) != cases[i].part)
            fail_msg("%s: %s", cases[i].name, ffai__part_text(ffai__part_of(cases[i].name)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tensors_name_says_which_part_it_is_of)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
