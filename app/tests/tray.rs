//! The icon among those of a desktop: a bus of our own, with a desktop that shows icons.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use partita::desktop::{Choice, Tray};
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, Proxy, connection, interface};

const PATIENCE: Duration = Duration::from_secs(20);
/// Set for the process that has the bus as its session's.
const INSIDE: &str = "PARTITA_TEST_TRAY";

/// Ended with the test.
struct Bus(Child, String);

impl Bus {
    fn start() -> Option<Self> {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--print-address=1"]).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            println!("skipped: no dbus-daemon here");
            return None;
        };
        let mut address = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut address).unwrap();
        Some(Self(child, address.trim().to_owned()))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The part of a desktop that icons register with.
struct Watcher(Sender<String>);

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

#[test]
fn the_icon_is_shown_and_its_menu_works() {
    if std::env::var_os(INSIDE).is_some() {
        // First without a desktop that shows icons.
        let refused = Tray::open((1, &[0; 4]), |_| ()).map(drop).unwrap_err();
        assert!(refused.to_string().contains("shows no icons"), "{refused:#}");
        pollster::block_on(with_a_desktop());
        return;
    }
    let Some(bus) = Bus::start() else { return };
    // The session's bus is named by the environment, so a process of its own is asked.
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_icon_is_shown_and_its_menu_works", "--nocapture"])
        .envs([("DBUS_SESSION_BUS_ADDRESS", bus.1.as_str()), (INSIDE, "1")])
        .status()
        .unwrap();
    assert!(inside.success());
}

async fn with_a_desktop() {
    let (register, registered) = channel();
    let desktop = connection::Builder::session()
        .unwrap()
        .serve_at("/StatusNotifierWatcher", Watcher(register))
        .unwrap()
        .name("org.kde.StatusNotifierWatcher")
        .unwrap()
        .build()
        .await
        .unwrap();
    let (choose, chosen) = channel();
    let pixels = [10, 20, 30, 255, 40, 50, 60, 0];
    assert!(Tray::open((2, &pixels), |_| ()).is_ok(), "is closed again");
    registered.recv_timeout(PATIENCE).unwrap();
    let tray = Tray::open((1, &pixels[..4]), move |choice| choose.send(choice).unwrap()).unwrap();
    let service = registered.recv_timeout(PATIENCE).unwrap();

    let item =
        Proxy::new(&desktop, service.as_str(), "/StatusNotifierItem", "org.kde.StatusNotifierItem");
    let item = item.await.unwrap();
    assert_eq!(item.get_property::<String>("Title").await.unwrap(), "Partita");
    let icons: Vec<(i32, i32, Vec<u8>)> = item.get_property("IconPixmap").await.unwrap();
    assert_eq!(icons, [(1, 1, vec![255, 10, 20, 30])]);
    item.call::<_, _, ()>("Activate", &(0, 0)).await.unwrap();
    assert_eq!(chosen.recv_timeout(PATIENCE), Ok(Choice::Show));

    menu(&desktop, &service, &tray, &chosen).await;
    drop(tray);
    let gone = item.call::<_, _, ()>("Activate", &(0, 0)).await;
    assert!(gone.is_err(), "the icon outlived the program's wish");
}

type Layout = (u32, (i32, std::collections::HashMap<String, OwnedValue>, Vec<OwnedValue>));

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

async fn menu(desktop: &Connection, service: &str, tray: &Tray, chosen: &Receiver<Choice>) {
    let menu = Proxy::new(desktop, service, "/MenuBar", "com.canonical.dbusmenu").await.unwrap();
    let wanted = [
        ("Show Partita", Choice::Show),
        ("Listen", Choice::Listen),
        ("Begin or end dictation", Choice::Dictate),
        ("Quit", Choice::Quit),
    ];
    let found = lines(&menu).await;
    for (label, choice) in wanted {
        let (number, _, _) = found.iter().find(|(_, text, _)| text == label).unwrap();
        let click = (*number, "clicked", Value::from(0), 0u32);
        menu.call::<_, _, ()>("Event", &click).await.unwrap();
        assert_eq!(chosen.recv_timeout(PATIENCE), Ok(choice));
    }
    let ticked = |lines: &[(i32, String, bool)]| lines.iter().filter(|line| line.2).count();
    assert_eq!(ticked(&found), 0);
    tray.listens(true);
    let found = lines(&menu).await;
    assert_eq!(ticked(&found), 1, "{found:?}");
}
