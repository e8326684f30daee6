//! The program's sign, as its window and its icon among the desktop's bear it.

/// Width and height, in pixels.
pub const SIDE: u32 = 64;

/// Red, green, blue and opacity of each pixel, row by row.
pub fn rgba() -> Vec<u8> {
    let bars = [(17.0, 10.0), (27.0, 20.0), (37.0, 14.0), (47.0, 7.0)];
    let mut rgba = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (x, y) = (x as f32 + 0.5 - 32.0, y as f32 + 0.5 - 32.0);
            let corner = ((x.abs() - 14.0).max(0.0)).hypot((y.abs() - 14.0).max(0.0));
            let ground = (16.5 - corner).clamp(0.0, 1.0);
            let bar = bars.iter().map(|(at, half): &(f32, f32)| {
                let far = (x + 32.0 - at).hypot((y.abs() - half).max(0.0));
                (3.4 - far).clamp(0.0, 1.0)
            });
            let bar = bar.fold(0.0, f32::max);
            let mix = |low: f32| (low + (255.0 - low) * bar).round() as u8;
            rgba.extend([mix(15.0), mix(118.0), mix(110.0), (ground * 255.0).round() as u8]);
        }
    }
    rgba
}
