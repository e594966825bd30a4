typedef int ffai__empty_tensor;
