/* What somebody who has installed libffai writes first. */
#include <ffai/ffai.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    printf("libffai %s\n", ffai_version());
    return strcmp(ffai_status_text(FFAI_OK), "success") != 0;
}
