// Containers whose first box or chunk says what is in them.
#include <algorithm>

#include "scan/prefix.h"

namespace sluice::scan {

namespace {

/// The brands of an ISO base media file (ISO 14496-12 section 4.3): the major one decides, then a compatible
/// one that says more.
void add_brands(const Prefix& prefix, FileTypes& types) {
  const std::string_view major = prefix.text(8, 4);
  const uint32_t box = std::clamp<uint32_t>(prefix.be32(0).value_or(0), 16, 512);
  const auto is_any = [&](std::string_view brand) {
    if (major == brand) return true;
    for (size_t at = 16; at + 4 <= box; at += 4) {
      if (prefix.has(at, brand)) return true;
    }
    return false;
  };
  if (is_any("avif") || is_any("avis")) return types.add(FileType::avif);
  if (is_any("heic") || is_any("heix") || is_any("hevc") || is_any("mif1") || is_any("msf1"))
    return types.add(FileType::heic);
  if (major == "qt  ") return types.add(FileType::mov);
  if (major == "M4A " || major == "M4B " || major == "M4P ") return types.add(FileType::m4a);
  if (major.starts_with("3g")) return types.add(FileType::three_gp);
  types.add(FileType::mp4);
}

void add_iso_media(const Prefix& prefix, FileTypes& types) {
  const uint32_t size = prefix.be32(0).value_or(0);
  const std::string_view box = prefix.text(4, 4);
  if (box == "ftyp" && size >= 8 && size < 4096) return add_brands(prefix, types);
  // Segments of a stream (DASH, HLS), which have no ftyp.
  if ((box == "styp" || box == "sidx" || box == "moof") && size >= 8 && size < 1U << 24)
    return types.add(FileType::mp4);
  // QuickTime files older than ftyp.
  if (box == "moov" || box == "mdat" || box == "wide" || box == "pnot") types.add(FileType::mov);
}

void add_riff(const Prefix& prefix, FileTypes& types) {
  const std::string_view form = prefix.text(8, 4);
  if (form == "WAVE") types.add(FileType::wav);
  if (form == "AVI ") types.add(FileType::avi);
  if (form == "WEBP") types.add(FileType::webp);
}

/// DocType is an element of the EBML header (RFC 8794 section 11.2.6), which is short.
void add_ebml(const Prefix& prefix, FileTypes& types) {
  const std::string_view header = prefix.text(0, 128);
  const size_t at = header.find("\x42\x82");
  const bool is_webm = at != std::string_view::npos && prefix.has(at + 3, "webm");
  types.add(is_webm ? FileType::webm : FileType::matroska);
}

/// The first packet of the first stream names its codec; its page's header has 27 bytes and one per segment
/// (RFC 3533 section 6).
void add_ogg(const Prefix& prefix, FileTypes& types) {
  const size_t packet = size_t{27} + prefix.u8(26).value_or(0);
  const bool is_video =
      prefix.has(packet, "\x80theora") || prefix.has(packet, "BBCD") || prefix.has(packet, "fishead");
  types.add(is_video ? FileType::ogv : FileType::ogg);
}

}  // namespace

void add_media_types(const Prefix& prefix, FileTypes& types) {
  add_iso_media(prefix, types);
  if (prefix.has(0, "RIFF") || prefix.has(0, "RIFX") || prefix.has(0, "RF64")) add_riff(prefix, types);
  if (prefix.has(0, "FORM") && (prefix.has(8, "AIFF") || prefix.has(8, "AIFC"))) types.add(FileType::aiff);
  if (prefix.has(0, "\x1a\x45\xdf\xa3")) add_ebml(prefix, types);
  if (prefix.has(0, "OggS")) add_ogg(prefix, types);
}

}  // namespace sluice::scan
