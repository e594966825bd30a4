#define PACK_LANES 32
#include "pack_template.h"

void ffai__fill_tile_avx2(uint8_t *tile, const ffai__tile_rows *rows)
{
    fill_tile(tile, rows);
}
