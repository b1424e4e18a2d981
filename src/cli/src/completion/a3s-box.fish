# Completion of a3s-box for fish: a3s-box completion fish | source
function __a3s_box_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete -- $words[2..] 2> /dev/null)
    if contains -- :files $found
        __fish_complete_path (commandline -ct)
    end
    string match -v -- :files $found
end
complete -c a3s-box -f -a '(__a3s_box_complete)'
