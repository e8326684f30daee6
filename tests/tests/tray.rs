//! The icon among those of a desktop: a bus of our own, with a desktop that shows icons. Needs
//! dbus-daemon, and for the window what `scripts/window.sh` needs.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita::desktop::{Choice, Tray};
use partita_tests::{Desk, Running};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, Proxy, connection, interface};

const PATIENCE: Duration = Duration::from_secs(20);
/// Set for the process that has the bus as its session's.
const INSIDE: &str = "PARTITA_TEST_TRAY";

/// A bus and its address.
fn bus() -> Option<(Running, String)> {
    let mut command = Command::new("dbus-daemon");
    command.args(["--session", "--nofork", "--print-address=1"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut bus) = command.spawn().map(Running) else {
        writeln!(std::io::stderr(), "skipped: dbus-daemon is not installed").ok();
        return None;
    };
    let mut address = String::new();
    BufReader::new(bus.0.stdout.take()?).read_line(&mut address).unwrap();
    Some((bus, address.trim().to_owned()))
}

/// The part of a desktop that icons register with.
struct Watcher(SyncSender<String>);

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: String) {
        self.0.send(service).unwrap();
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// A desktop that shows icons, and those that register with it.
async fn desktop(address: &str) -> (Connection, Receiver<String>) {
    let (register, registered) = sync_channel(8);
    let desktop = connection::Builder::address(address)
        .unwrap()
        .serve_at("/StatusNotifierWatcher", Watcher(register))
        .unwrap()
        .name("org.kde.StatusNotifierWatcher")
        .unwrap();
    (desktop.build().await.unwrap(), registered)
}

async fn item_of<'a>(desktop: &Connection, service: &'a str) -> Proxy<'a> {
    let (path, interface) = ("/StatusNotifierItem", "org.kde.StatusNotifierItem");
    Proxy::new(desktop, service, path, interface).await.unwrap()
}

async fn menu_of<'a>(desktop: &Connection, service: &'a str) -> Proxy<'a> {
    Proxy::new(desktop, service, "/MenuBar", "com.canonical.dbusmenu").await.unwrap()
}

type Layout = (u32, (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>));

/// What each line of the menu is called, by its number, and whether it is ticked.
async fn lines(menu: &Proxy<'_>) -> Vec<(i32, String, bool)> {
    let wanted: &[&str] = &[];
    let (_, (_, _, children)): Layout = menu.call("GetLayout", &(0, -1, wanted)).await.unwrap();
    let line = |child: OwnedValue| {
        let Value::Structure(line) = Value::from(child) else { panic!("no line") };
        let [Value::I32(number), Value::Dict(properties), ..] = line.fields() else {
            panic!("{line:?}")
        };
        let label = properties.get::<&str, String>(&"label").ok().flatten().unwrap_or_default();
        let ticked = properties.get::<&str, i32>(&"toggle-state").ok().flatten() == Some(1);
        (*number, label, ticked)
    };
    children.into_iter().map(line).collect()
}

async fn click(menu: &Proxy<'_>, label: &str) {
    let lines = lines(menu).await;
    let (number, _, _) = lines.iter().find(|(_, text, _)| text == label).unwrap();
    let click = (*number, "clicked", Value::from(0), 0u32);
    menu.call::<_, _, ()>("Event", &click).await.unwrap();
}

#[test]
fn the_icon_is_shown_and_its_menu_works() {
    if std::env::var_os(INSIDE).is_some() {
        // First without a desktop that shows icons.
        let refused = Tray::open((1, &[0; 4]), |_| ()).map(drop).unwrap_err();
        assert!(refused.to_string().contains("shows no icons"), "{refused:#}");
        let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
        pollster::block_on(with_a_desktop(&address));
        return;
    }
    let Some((_bus, address)) = bus() else { return };
    // The session's bus is named by the environment, so a process of its own is asked.
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_icon_is_shown_and_its_menu_works", "--nocapture"])
        .envs([("DBUS_SESSION_BUS_ADDRESS", address.as_str()), (INSIDE, "1")])
        .status()
        .unwrap();
    assert!(inside.success());
}

async fn with_a_desktop(address: &str) {
    let (desktop, registered) = desktop(address).await;
    let (choose, chosen) = sync_channel(8);
    let pixels = [10, 20, 30, 255, 40, 50, 60, 0];
    assert!(Tray::open((2, &pixels), |_| ()).is_ok(), "is closed again");
    registered.recv_timeout(PATIENCE).unwrap();
    let tray = Tray::open((1, &pixels[..4]), move |choice| choose.send(choice).unwrap()).unwrap();
    let service = registered.recv_timeout(PATIENCE).unwrap();

    let item = item_of(&desktop, &service).await;
    assert_eq!(item.get_property::<String>("Title").await.unwrap(), "Partita");
    let icons: Vec<(i32, i32, Vec<u8>)> = item.get_property("IconPixmap").await.unwrap();
    assert_eq!(icons, [(1, 1, vec![255, 10, 20, 30])]);
    item.call::<_, _, ()>("Activate", &(0, 0)).await.unwrap();
    assert_eq!(chosen.recv_timeout(PATIENCE), Ok(Choice::Show));

    let menu = menu_of(&desktop, &service).await;
    for (label, choice) in [
        ("Show Partita", Choice::Show),
        ("Listen", Choice::Listen),
        ("Begin or end dictation", Choice::Dictate),
        ("Quit", Choice::Quit),
    ] {
        click(&menu, label).await;
        assert_eq!(chosen.recv_timeout(PATIENCE), Ok(choice));
    }
    let ticked = |lines: &[(i32, String, bool)]| lines.iter().filter(|line| line.2).count();
    assert_eq!(ticked(&lines(&menu).await), 0);
    tray.listens(true);
    let found = lines(&menu).await;
    assert_eq!(ticked(&found), 1, "{found:?}");

    drop(tray);
    let gone = item.call::<_, _, ()>("Activate", &(0, 0)).await;
    assert!(gone.is_err(), "the icon outlived the program's wish");
}

#[test]
fn a_window_that_is_closed_stays_behind_its_icon() {
    let Some(mut desk) = Desk::start() else { return };
    let Some((_bus, address)) = bus() else { return };
    desk.set("DBUS_SESSION_BUS_ADDRESS", &address);
    let settings = "version = 1\n[desktop]\ntray = true\n";
    std::fs::write(desk.folder().join("settings.toml"), settings).unwrap();
    pollster::block_on(async {
        let (desktop, registered) = desktop(&address).await;
        desk.open(&[], "Partita");
        let service = registered.recv_timeout(PATIENCE).unwrap();
        // The window hears of its icon.
        std::thread::sleep(Duration::from_secs(1));
        let close = |desk: &mut Desk| {
            desk.output("wmctrl", &["-c", "Partita"]);
            desk.wait("a hidden window", |desk| desk.window_named("Partita").is_none());
        };
        for _ in 0..2 {
            close(&mut desk);
            std::thread::sleep(Duration::from_millis(500));
            assert!(desk.runs());
            let item = item_of(&desktop, &service).await;
            item.call::<_, _, ()>("Activate", &(0, 0)).await.unwrap();
            desk.wait("the window again", |desk| desk.window_named("Partita").is_some());
        }
        close(&mut desk);
        click(&menu_of(&desktop, &service).await, "Quit").await;
    });
    desk.gone();
}
