#define PACK_LANES 64
#include "pack_template.h"

void ffai__fill_tile_avx512(uint8_t *tile, const ffai__tile_rows *rows)
{
    fill_tile(tile, rows);
}
