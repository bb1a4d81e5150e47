use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example() {
    fn check(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            assert!(sub.get_about().is_some(), "{path} has no help");
            let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{path} has no example");
            assert!(
                after.contains(&format!("waggle{}", path.strip_prefix("waggle").unwrap_or(&path))),
                "{path}: its example is of another command"
            );
            check(sub, &path);
        }
    }
    check(&Cli::command(), "waggle");
}

#[test]
fn arguments() {
    for line in [
        "waggle stack deploy -c a.yml -c b.yml --detach --timeout 90s shop",
        "waggle --context x stack ls --format json",
        "waggle stack rm a b",
        "waggle cluster join-token",
        "waggle cluster drain eu-1 --reason x",
        "waggle cluster rm eu-1 --force",
        "waggle nameserver rm ns1 --force",
        "waggle rollout watch shop --timeout 5m",
        "waggle nameserver ls",
        "waggle route ls --format json",
        "waggle route history -n 3 www.shop.example",
        "waggle route revert 41 --reason x --for 30m --dry-run",
        "waggle route resume",
        "waggle doctor --zone shop.example --resolver 192.0.2.1:53 --all",
        "waggle route show www.shop.example",
        "waggle why www.shop.example --client 2001:db8::1 --type AAAA",
        "waggle simulate outage eu-1 us-1 --at-rate 1.5",
        "waggle simulate outage --region eu --region us --format json",
        "waggle apply -f -",
        "waggle login control.example --token-file -",
        "waggle registry login -u ann --password-stdin registry.example:5000",
        "waggle registry logout registry.example:5000",
        "waggle control rotate-key --config control.toml",
        "waggle control --config control.toml",
        "waggle completion zsh",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
    for (line, kind) in [
        ("waggle stack deploy shop", ErrorKind::MissingRequiredArgument),
        ("waggle stack deploy -c a.yml -x", ErrorKind::UnknownArgument),
        ("waggle stack deploy -c a.yml --timeout 5 shop", ErrorKind::ValueValidation),
        ("waggle stack deploy -c a.yml _shop", ErrorKind::ValueValidation),
        ("waggle cluster drain eu-1", ErrorKind::MissingRequiredArgument),
        ("waggle route revert 41", ErrorKind::MissingRequiredArgument),
        ("waggle route revert last --reason x", ErrorKind::ValueValidation),
        ("waggle cluster show EU", ErrorKind::ValueValidation),
        ("waggle why www.shop.example --client x", ErrorKind::ValueValidation),
        ("waggle simulate outage", ErrorKind::MissingRequiredArgument),
        ("waggle simulate outage eu-1 --at-rate fast", ErrorKind::ValueValidation),
        ("waggle registry login -p x registry.example", ErrorKind::UnknownArgument),
        ("waggle registry login --password-stdin registry.example", ErrorKind::MissingRequiredArgument),
        ("waggle status --format xml", ErrorKind::InvalidValue),
    ] {
        assert_eq!(parse(line).map(|_| ()), Err(kind), "{line}");
    }
}
