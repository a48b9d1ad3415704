# fish: what completes weirctl's commands, options and names. weirctl itself knows them: weirctl complete WORD...

function __weirctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -e words[1]
    for line in ($program complete -- $words "$current" 2>/dev/null)
        switch $line
            case ':file'
                __fish_complete_path (string replace -r '^--[^=]*=' '' -- "$current")
            case ':program'
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete -c weirctl -f -a '(__weirctl_complete)'
