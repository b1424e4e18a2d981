# Completion of a3s-box for bash: source <(a3s-box completion bash)
_a3s_box() {
    local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} words=() i candidate files=
    # Bash takes `=` and `:` for the ends of words; here they are not.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    local current=${words[-1]}
    local glued=${current%"$word"}
    [[ $word == [=:] ]] && glued=$current
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        if [[ $candidate == :files ]]; then
            files=1
        else
            COMPREPLY+=("${candidate#"$glued"}")
        fi
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2> /dev/null)
    if [[ $files ]]; then
        [[ $word == [=:] ]] && word=
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$word")
        compopt -o filenames 2> /dev/null
    fi
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2> /dev/null
    return 0
}
complete -F _a3s_box a3s-box
