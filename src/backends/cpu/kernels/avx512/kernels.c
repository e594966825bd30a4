#include "kernel_table.h"

#include "vector.h"

#include "activation_template.h"
#include "attention_template.h"

const ffai__kernels ffai__kernels_avx512 = {
#include "kernel_table_template.h"
};
