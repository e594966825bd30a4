typedef int ffai__empty_text;
