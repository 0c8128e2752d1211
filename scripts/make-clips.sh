#!/usr/bin/env bash
# Makes the sandbox's clips, one for each aspect ratio that a model offers: drifting colours, an orbiting light
# and the words AIVIDEO SANDBOX, so that nobody takes one for a generated video.
#
# Needs ffmpeg with libx264 and drawtext, and DejaVu Sans Bold (Debian: apt-get install ffmpeg fonts-dejavu-core).
# The same ffmpeg makes the same bytes: fixed seed, one thread, no dates or versions in the files.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=server/aivideo_mcp/sandbox/clips
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf}
seconds=4
limit=60000 # bytes a clip may have: they are in every wheel

[ -r "$font" ] || { echo "no font at $font; name one with FONT=/path/to/font.ttf" >&2; exit 1; }
mkdir -p "$folder"

# name width height: the exact ratio in even numbers, as yuv420p wants them
while read -r name width height; do
  short=$((width < height ? width : height))
  size=$((width / 12 < short / 6 ? width / 12 : short / 6)) # the 15 letters fill four fifths of the width
  small=$((size * 45 / 100 < 9 ? 9 : size * 45 / 100))
  light=$((short / 2))
  orbit="x='(W-w)/2+W*0.34*cos(2*PI*t/$seconds)':y='(H-h)/2+H*0.34*sin(2*PI*t/$seconds)'"
  words="fontfile=$font:fontcolor=white:x=(w-text_w)/2:shadowcolor=black@0.45:shadowx=1:shadowy=1"
  ffmpeg -nostdin -loglevel error -y -filter_threads 1 \
    -f lavfi -i "gradients=s=${width}x${height}:r=24:d=$seconds:n=4:seed=7:speed=0.03:c0=0x1b1f5e:c1=0xe8625b:c2=0x8e3a8c:c3=0x0f5a7a:x0=0:y0=0:x1=$width:y1=$height" \
    -f lavfi -i "color=white:s=${light}x${light}:r=24:d=$seconds,format=yuva420p,geq=lum=255:cb=128:cr=128:a='150*pow(max(0,1-hypot(X-W/2,Y-H/2)/(W/2)),2)'" \
    -filter_complex "[0][1]overlay=$orbit:eof_action=pass,drawbox=x=0:y=(ih-$size*3)/2:w=iw:h=$size*3:color=black@0.38:t=fill,drawtext=$words:fontsize=$size:text='AIVIDEO SANDBOX':y=(h-$size)/2-$small*0.55,drawtext=$words:fontsize=$small:text='sample clip, not generated':y=(h+$size)/2+$small*0.1,format=yuv420p" \
    -t $seconds -an -c:v libx264 -preset veryslow -crf 27 -profile:v high -threads 1 -g 48 \
    -map_metadata -1 -fflags +bitexact -flags:v +bitexact -movflags +faststart \
    "$folder/$name.mp4"
  bytes=$(wc -c <"$folder/$name.mp4")
  [ "$bytes" -le "$limit" ] || { echo "$name.mp4 has $bytes bytes, more than $limit" >&2; exit 1; }
  echo "$name.mp4 ${width}x${height} $bytes bytes"
done <<'CLIPS'
16x9 320 180
9x16 180 320
1x1 240 240
4x3 320 240
3x4 240 320
21x9 336 144
CLIPS
