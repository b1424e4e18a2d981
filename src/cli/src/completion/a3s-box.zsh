#compdef a3s-box
# Completion of a3s-box for zsh: source <(a3s-box completion zsh), or a file _a3s-box in $fpath
_a3s_box() {
    local line name files
    local -a names shown
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            files=1
            continue
        fi
        name=${line%%$'\t'*}
        names+=("$name")
        shown+=("$name  ${line#*$'\t'}")
    done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2> /dev/null)
    (( $#names )) && compadd -l -d shown -a names
    [[ -n $files ]] && _files
    return 0
}
if [[ $funcstack[1] == _a3s_box || $funcstack[1] == _a3s-box ]]; then
    _a3s_box "$@"
else
    compdef _a3s_box a3s-box
fi
