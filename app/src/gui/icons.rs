//! Icons, drawn: no font needs to have them, and they are sharp at every size.

use eframe::egui::{Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, pos2};

/// What an icon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Icon {
    Microphone,
    File,
    Clock,
    Cube,
    Sliders,
    Play,
    Pause,
    Stop,
    Copy,
    Search,
    Trash,
    Export,
    Close,
    Plus,
    Check,
    Warning,
    Captions,
    Down,
    Up,
    Larger,
    Smaller,
    Lock,
    Unlock,
    Eraser,
    Folder,
}

/// Draws `icon` into the middle of `rect`, which counts as a square of 24 units.
pub fn paint(painter: &Painter, rect: Rect, icon: Icon, color: Color32) {
    let side = rect.width().min(rect.height());
    let pen = Pen { painter, scale: side / 24.0, middle: rect.center(), color };
    pen.draw(icon);
}

struct Pen<'a> {
    painter: &'a Painter,
    scale: f32,
    middle: Pos2,
    color: Color32,
}

impl Pen<'_> {
    fn at(&self, x: f32, y: f32) -> Pos2 {
        self.middle + (pos2(x, y) - pos2(12.0, 12.0)) * self.scale
    }

    fn stroke(&self) -> Stroke {
        Stroke::new((1.7 * self.scale).max(1.0), self.color)
    }

    fn line(&self, points: &[(f32, f32)]) {
        let points = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        self.painter.add(Shape::line(points, self.stroke()));
    }

    fn fill(&self, points: &[(f32, f32)]) {
        let points = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        self.painter.add(Shape::convex_polygon(points, self.color, Stroke::NONE));
    }

    fn frame(&self, from: (f32, f32), to: (f32, f32), radius: f32) {
        let rect = Rect::from_two_pos(self.at(from.0, from.1), self.at(to.0, to.1));
        let radius = CornerRadius::from(radius * self.scale);
        self.painter.rect_stroke(rect, radius, self.stroke(), StrokeKind::Middle);
    }

    fn solid(&self, from: (f32, f32), to: (f32, f32), radius: f32) {
        let rect = Rect::from_two_pos(self.at(from.0, from.1), self.at(to.0, to.1));
        self.painter.rect_filled(rect, CornerRadius::from(radius * self.scale), self.color);
    }

    fn circle(&self, x: f32, y: f32, radius: f32) {
        self.painter.circle_stroke(self.at(x, y), radius * self.scale, self.stroke());
    }

    fn dot(&self, x: f32, y: f32, radius: f32) {
        self.painter.circle_filled(self.at(x, y), radius * self.scale, self.color);
    }

    /// An arc of a circle, angles in degrees, 0 to the right, 90 below.
    fn arc(&self, x: f32, y: f32, radius: f32, from: f32, to: f32) {
        let points: Vec<(f32, f32)> = (0..=16)
            .map(|step| {
                let angle = (from + (to - from) * step as f32 / 16.0).to_radians();
                (x + radius * angle.cos(), y + radius * angle.sin())
            })
            .collect();
        self.line(&points);
    }

    fn draw(&self, icon: Icon) {
        match icon {
            Icon::Microphone => {
                self.frame((9.0, 3.0), (15.0, 14.0), 3.0);
                self.arc(12.0, 11.0, 6.5, 0.0, 180.0);
                self.line(&[(12.0, 17.5), (12.0, 21.0)]);
            }
            Icon::File => {
                self.line(&[
                    (14.0, 3.0),
                    (6.0, 3.0),
                    (6.0, 21.0),
                    (18.0, 21.0),
                    (18.0, 7.0),
                    (14.0, 3.0),
                    (14.0, 7.0),
                    (18.0, 7.0),
                ]);
                self.line(&[(9.0, 12.0), (15.0, 12.0)]);
                self.line(&[(9.0, 16.0), (15.0, 16.0)]);
            }
            Icon::Clock => {
                self.circle(12.0, 12.0, 9.0);
                self.line(&[(12.0, 7.0), (12.0, 12.0), (15.5, 14.0)]);
            }
            Icon::Cube => {
                self.line(&[
                    (12.0, 3.0),
                    (20.0, 7.5),
                    (20.0, 16.5),
                    (12.0, 21.0),
                    (4.0, 16.5),
                    (4.0, 7.5),
                    (12.0, 3.0),
                ]);
                self.line(&[(4.0, 7.5), (12.0, 12.0), (20.0, 7.5)]);
                self.line(&[(12.0, 12.0), (12.0, 21.0)]);
            }
            Icon::Sliders => {
                for (y, x) in [(6.0, 9.0), (12.0, 15.0), (18.0, 8.0)] {
                    self.line(&[(4.0, y), (20.0, y)]);
                    self.dot(x, y, 2.6);
                }
            }
            Icon::Play => self.fill(&[(8.0, 5.0), (19.0, 12.0), (8.0, 19.0)]),
            Icon::Pause => {
                self.solid((7.0, 5.5), (10.2, 18.5), 1.0);
                self.solid((13.8, 5.5), (17.0, 18.5), 1.0);
            }
            Icon::Stop => self.solid((6.5, 6.5), (17.5, 17.5), 2.0),
            Icon::Copy => {
                self.frame((9.0, 9.0), (20.0, 20.0), 2.0);
                self.line(&[(6.0, 15.0), (4.0, 15.0), (4.0, 4.0), (15.0, 4.0), (15.0, 6.0)]);
            }
            Icon::Search => {
                self.circle(10.5, 10.5, 6.5);
                self.line(&[(15.3, 15.3), (20.5, 20.5)]);
            }
            Icon::Trash => {
                self.line(&[(4.0, 6.5), (20.0, 6.5)]);
                self.line(&[(9.0, 6.5), (9.0, 3.5), (15.0, 3.5), (15.0, 6.5)]);
                self.line(&[(6.0, 6.5), (7.0, 20.5), (17.0, 20.5), (18.0, 6.5)]);
            }
            Icon::Export => {
                self.line(&[(12.0, 3.5), (12.0, 15.0)]);
                self.line(&[(7.5, 10.5), (12.0, 15.0), (16.5, 10.5)]);
                self.line(&[(4.0, 16.0), (4.0, 20.5), (20.0, 20.5), (20.0, 16.0)]);
            }
            Icon::Close => {
                self.line(&[(6.0, 6.0), (18.0, 18.0)]);
                self.line(&[(18.0, 6.0), (6.0, 18.0)]);
            }
            Icon::Plus => {
                self.line(&[(12.0, 5.0), (12.0, 19.0)]);
                self.line(&[(5.0, 12.0), (19.0, 12.0)]);
            }
            Icon::Check => self.line(&[(5.0, 12.5), (10.0, 17.5), (19.0, 7.0)]),
            Icon::Warning => {
                self.line(&[(12.0, 4.0), (21.0, 20.0), (3.0, 20.0), (12.0, 4.0)]);
                self.line(&[(12.0, 10.0), (12.0, 14.5)]);
                self.dot(12.0, 17.3, 1.0);
            }
            Icon::Captions => {
                self.frame((3.0, 5.0), (21.0, 19.0), 3.0);
                self.line(&[(7.0, 11.0), (13.0, 11.0)]);
                self.line(&[(7.0, 15.0), (17.0, 15.0)]);
            }
            Icon::Down => self.line(&[(6.0, 9.0), (12.0, 15.0), (18.0, 9.0)]),
            Icon::Up => self.line(&[(6.0, 15.0), (12.0, 9.0), (18.0, 15.0)]),
            Icon::Larger | Icon::Smaller => {
                self.line(&[(3.0, 19.0), (8.0, 6.0), (13.0, 19.0)]);
                self.line(&[(5.0, 14.5), (11.0, 14.5)]);
                self.line(&[(15.5, 9.0), (21.5, 9.0)]);
                if icon == Icon::Larger {
                    self.line(&[(18.5, 6.0), (18.5, 12.0)]);
                }
            }
            Icon::Lock | Icon::Unlock => {
                self.frame((5.0, 11.0), (19.0, 20.0), 2.0);
                let shift = if icon == Icon::Lock { 0.0 } else { -2.0 };
                self.arc(12.0, 8.5 + shift, 4.0, 180.0, 360.0);
                self.line(&[(8.0, 8.5 + shift), (8.0, 11.0)]);
                if icon == Icon::Lock {
                    self.line(&[(16.0, 8.5), (16.0, 11.0)]);
                }
            }
            Icon::Eraser => {
                self.line(&[
                    (8.5, 19.5),
                    (3.5, 14.5),
                    (13.0, 5.0),
                    (20.0, 12.0),
                    (12.5, 19.5),
                    (8.5, 19.5),
                ]);
                self.line(&[(8.2, 9.8), (15.2, 16.8)]);
                self.line(&[(12.5, 19.5), (20.0, 19.5)]);
            }
            Icon::Folder => self.line(&[
                (3.0, 19.0),
                (3.0, 5.0),
                (9.0, 5.0),
                (11.0, 7.5),
                (21.0, 7.5),
                (21.0, 19.0),
                (3.0, 19.0),
            ]),
        }
    }
}
