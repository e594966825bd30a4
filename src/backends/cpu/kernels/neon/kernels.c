#include "kernel_table.h"

#include "vector.h"

#include "activation_template.h"
#include "attention_template.h"

const ffai__kernels ffai__kernels_neon = {
#include "kernel_table_template.h"
};
