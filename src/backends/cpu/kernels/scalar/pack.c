#define PACK_LANES 16
#include "pack_template.h"

void ffai__fill_tile_scalar(uint8_t *tile, const ffai__tile_rows *rows)
{
    fill_tile(tile, rows);
}
