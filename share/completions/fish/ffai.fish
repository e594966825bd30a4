# fish completion for ffai

set -l commands generate logits tokenize detokenize inspect convert program diff perplexity bench tune version help
set -l generating "not __fish_seen_subcommand_from logits tokenize detokenize inspect convert program diff perplexity bench tune version help"
set -l computing "not __fish_seen_subcommand_from tokenize detokenize inspect convert program tune version help"
set -l modelled "not __fish_seen_subcommand_from convert version help"

complete -c ffai -f
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a generate -d 'Continue a prompt'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a logits -d 'Write logits to a .npy file'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a tokenize -d 'Turn text into token ids'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a detokenize -d 'Turn token ids into text'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a inspect -d 'Say what a checkpoint is and needs'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a convert -d 'Write a folder in MLX format'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a program -d 'Print the program of a model'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a diff -d 'Compare two backends'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a perplexity -d 'Measure how well a text is foretold'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a bench -d 'Measure how fast a model runs'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a tune -d 'Measure which parameters are best here'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a version -d 'Print the version'
complete -c ffai -n "not __fish_seen_subcommand_from $commands" -a help -d 'Help'
complete -c ffai -n "__fish_seen_subcommand_from help" -a "$commands"
complete -c ffai -s h -l help -d 'Help'

complete -c ffai -n $modelled -s m -l model -r -F -d 'The model'
complete -c ffai -n "$computing; and not __fish_seen_subcommand_from bench" -l backend -x -a 'auto cpu cuda ref' -d 'What computes'
complete -c ffai -n $computing -l threads -x -d 'Number of threads'
complete -c ffai -n $computing -l activations -x -a 'default f32 bf16' -d 'Precision of activations'
complete -c ffai -n "not __fish_seen_subcommand_from tokenize detokenize inspect convert tune version help" -l fusions -x -a 'all none' -d 'Rewrites of the program'
complete -c ffai -n "$computing; and not __fish_seen_subcommand_from diff" -l kv -x -a 'bf16 f16 f32' -d 'Format of keys and values'
complete -c ffai -n "$computing; and not __fish_seen_subcommand_from diff logits bench" -l context -x -d 'Tokens at once'

complete -c ffai -n "$generating; or __fish_seen_subcommand_from diff" -s p -l prompt -x -d 'The text to continue'
complete -c ffai -n "$generating; or __fish_seen_subcommand_from perplexity" -s f -l file -r -F -d 'A file with the text'
complete -c ffai -n "$generating; or __fish_seen_subcommand_from diff logits" -l tokens -x -d 'Token ids'
complete -c ffai -n $generating -l raw -d 'Apply no chat template'
complete -c ffai -n $generating -l system -x -d 'A system prompt'
complete -c ffai -n $generating -s n -l max-tokens -x -d 'Tokens to generate at most'
complete -c ffai -n $generating -l temp -x -d '0: the most likely token'
complete -c ffai -n $generating -l temperature -x -d '0: the most likely token'
complete -c ffai -n $generating -l top-p -x -d 'Total probability to draw from'
complete -c ffai -n $generating -l top-k -x -d 'Number of tokens to draw from'
complete -c ffai -n $generating -l min-p -x -d 'Least share of the likeliest'
complete -c ffai -n $generating -l repeat-penalty -x -d 'Make tokens seen less likely'
complete -c ffai -n $generating -l presence-penalty -x -d 'Taken off tokens seen'
complete -c ffai -n $generating -l seed -x -d 'Fixes the draws'
complete -c ffai -n $generating -l ignore-eos -d 'Go on past end tokens'
complete -c ffai -n $generating -l stats -d 'Times, rates, memory and parameters'
complete -c ffai -n "$generating; or __fish_seen_subcommand_from inspect perplexity bench tune" -l json -d 'One JSON object'

complete -c ffai -n "__fish_seen_subcommand_from logits" -s o -l output -r -F -d 'The file to write'
complete -c ffai -n "__fish_seen_subcommand_from tokenize" -l no-special -d 'Add no special tokens'
complete -c ffai -n "__fish_seen_subcommand_from inspect convert" -F
complete -c ffai -n "__fish_seen_subcommand_from convert" -l dtype -x -a 'bf16 fp16 f32' -d 'Type of all weights'
complete -c ffai -n "__fish_seen_subcommand_from convert" -l shard-size -x -d 'Largest size of a file'
complete -c ffai -n "__fish_seen_subcommand_from convert" -l force -d 'Replace DST'
complete -c ffai -n "__fish_seen_subcommand_from diff" -l against -x -a 'auto cpu cuda ref' -d 'The other backend'
complete -c ffai -n "__fish_seen_subcommand_from diff" -l tolerance -x -d 'Largest error'
complete -c ffai -n "__fish_seen_subcommand_from diff" -l all -d 'Go on after the first that departs'
complete -c ffai -n "__fish_seen_subcommand_from bench tune" -l shape -x -a 'smollm2-135m llama-3.2-1b llama-3.2-3b llama-3.1-8b qwen3-0.6b qwen3-1.7b qwen3-4b qwen3-8b qwen3-14b' -d 'Random weights in this shape'
complete -c ffai -n "__fish_seen_subcommand_from bench tune" -l bits -x -a '16 8 6 5 4 3 2' -d 'Of the weights'
complete -c ffai -n "__fish_seen_subcommand_from bench tune" -l group-size -x -a '16 32 64 128' -d 'Weights that share a scale'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l layers -x -d 'So many of the layers of a shape'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l prompt-tokens -x -d 'Tokens of a prompt'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l gen-tokens -x -d 'Tokens to generate'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l depth -x -d 'Tokens that are there before'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l repeat -x -d 'Times'
complete -c ffai -n "__fish_seen_subcommand_from bench" -l ops -d 'Where the time goes'
complete -c ffai -n "__fish_seen_subcommand_from tune" -l forget -d 'Remove what was kept'
