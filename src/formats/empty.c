typedef int ffai__empty_formats;
