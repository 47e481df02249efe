#include "scan/file_type.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "scan/prefix.h"

namespace sluice::scan {

namespace {

using namespace std::string_view_literals;

struct Signature {
  size_t offset;
  std::string_view magic;
  FileType type;
};

// From the formats' own specifications and from what file(1) looks for. Only marks of four bytes and more, or
// with a reason.
constexpr Signature signatures[] = {
    {0,
     "\x7f"
     "ELF"sv,
     FileType::elf},
    {0, "\xfe\xed\xfa\xce"sv, FileType::macho},
    {0, "\xfe\xed\xfa\xcf"sv, FileType::macho},
    {0, "\xce\xfa\xed\xfe"sv, FileType::macho},
    {0, "\xcf\xfa\xed\xfe"sv, FileType::macho},
    {0, "\xca\xfe\xba\xbf"sv, FileType::macho},
    {0, "L\0\0\0\x01\x14\x02\0"sv, FileType::lnk},
    {0, "dex\n"sv, FileType::dex},
    {0, "\xed\xab\xee\xdb"sv, FileType::rpm},
    {0, "Cr24"sv, FileType::crx},
    {0, "\0asm"sv, FileType::wasm},
    {0, "ITSF"sv, FileType::chm},
    {0, "!<arch>\n"sv, FileType::ar},
    {0, "!<arch>\ndebian-binary"sv, FileType::deb},

    {0, "PK\x03\x04"sv, FileType::zip},
    {0, "PK\x05\x06"sv, FileType::zip},  // empty
    {0, "PK\x07\x08"sv, FileType::zip},  // spanned
    {0, "PK00PK\x03\x04"sv, FileType::zip},
    {0, "Rar!\x1a\x07"sv, FileType::rar},
    {0, "7z\xbc\xaf\x27\x1c"sv, FileType::seven_zip},
    {257, "ustar"sv, FileType::tar},
    {0, "\x1f\x8b\x08"sv, FileType::gzip},  // the third byte is the method, and there is no other
    {0,
     "\xfd"
     "7zXZ\0"sv,
     FileType::xz},
    {0, "\x28\xb5\x2f\xfd"sv, FileType::zstd},
    {0, "\x04\x22\x4d\x18"sv, FileType::lz4},
    {0, "LZIP\x01"sv, FileType::lzip},
    {0, "MSCF\0\0\0\0"sv, FileType::cab},
    {7, "**ACE**"sv, FileType::ace},
    {0, "070701"sv, FileType::cpio},
    {0, "070702"sv, FileType::cpio},
    {0, "070707"sv, FileType::cpio},
    {0, "xar!"sv, FileType::xar},

    {0, "MSWIM\0\0\0"sv, FileType::wim},
    {0, "conectix"sv, FileType::vhd},
    {0, "vhdxfile"sv, FileType::vhdx},
    {0, "KDMV"sv, FileType::vmdk},
    {0, "# Disk DescriptorFile"sv, FileType::vmdk},
    {64, "\x7f\x10\xda\xbe"sv, FileType::vdi},
    {0, "QFI\xfb"sv, FileType::qcow2},
    {0, "hsqs"sv, FileType::squashfs},
    {0, "sqsh"sv, FileType::squashfs},

    {0, "{\\rt"sv, FileType::rtf},  // Word opens what has no more of its mark than this
    {0, "%!PS"sv, FileType::postscript},
    {0, "\x04%!PS"sv, FileType::postscript},
    {0, "\xc5\xd0\xd3\xc6"sv, FileType::postscript},
    {60, "BOOKMOBI"sv, FileType::mobi},
    {0, "AT&TFORM"sv, FileType::djvu},
    {0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"sv, FileType::onenote},

    {0, "\xff\xd8\xff"sv, FileType::jpeg},  // the third byte begins the next marker
    {0, "\x89PNG\r\n\x1a\n"sv, FileType::png},
    {0, "GIF87a"sv, FileType::gif},
    {0, "GIF89a"sv, FileType::gif},
    {0, "\0\0\0\x0cJXL \r\n\x87\n"sv, FileType::jxl},
    {0, "\xff\x0a"sv, FileType::jxl},  // a bare codestream has no more
    {0, "\0\0\0\x0cjP  \r\n\x87\n"sv, FileType::jp2},
    {0, "\xff\x4f\xff\x51"sv, FileType::jp2},
    {0, "II*\0"sv, FileType::tiff},
    {0, "MM\0*"sv, FileType::tiff},
    {0, "II+\0"sv, FileType::tiff},
    {0, "MM\0+"sv, FileType::tiff},
    {0, "8BPS"sv, FileType::psd},
    {0, "\xd7\xcd\xc6\x9a"sv, FileType::wmf},

    {0, "fLaC"sv, FileType::flac},
    {0, "MThd"sv, FileType::midi},
    {0, "#!AMR"sv, FileType::amr},
    {0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"sv, FileType::asf},
    {0, "FLV\x01"sv, FileType::flv},
    {0, "\0\0\x01\xba"sv, FileType::mpeg},
    {0, "\0\0\x01\xb3"sv, FileType::mpeg},
    {0, ".RMF"sv, FileType::realmedia},

    {0, "ttcf"sv, FileType::ttf},
    {0, "true\0"sv, FileType::ttf},
    {0, "OTTO\0"sv, FileType::otf},
    {0, "wOFF"sv, FileType::woff},
    {0, "wOF2"sv, FileType::woff2},

    {0, "SQLite format 3\0"sv, FileType::sqlite},
    {0, "d8:announce"sv, FileType::torrent},
    {0, "d13:announce-list"sv, FileType::torrent},
    {0, "d13:creation date"sv, FileType::torrent},
    {0, "d10:created by"sv, FileType::torrent},
    {0, "d7:comment"sv, FileType::torrent},
    {0, "d4:infod"sv, FileType::torrent},
    {0, "\xa1\xb2\xc3\xd4"sv, FileType::pcap},
    {0, "\xd4\xc3\xb2\xa1"sv, FileType::pcap},
    {0, "\xa1\xb2\x3c\x4d"sv, FileType::pcap},
    {0, "\x4d\x3c\xb2\xa1"sv, FileType::pcap},
    {0, "\n\r\r\n"sv, FileType::pcap},
};

/// Marks that are only one together with something else.
void add_conditional_types(const Prefix& prefix, FileTypes& types) {
  const auto byte = [&](size_t offset) { return prefix.u8(offset).value_or(0); };
  if (prefix.has(0, "\xca\xfe\xba\xbe")) {  // a class's version is 45 or more; nobody has 45 architectures
    types.add(prefix.be32(4).value_or(0) < 45 ? FileType::macho : FileType::java_class);
  }
  const std::string_view flash = prefix.text(0, 3);
  if ((flash == "FWS" || flash == "CWS" || flash == "ZWS") && byte(3) != 0 && byte(3) < 0x40)
    types.add(FileType::swf);
  if (prefix.has(0, "BZh") && byte(3) >= '1' && byte(3) <= '9' &&
      (prefix.has(4, "1AY&SY") || prefix.has(4, "\x17\x72\x45\x38\x50\x90"))) {
    types.add(FileType::bzip2);
  }
  // A dictionary of 4 KiB to 4 GiB in whole powers of two (or one and a half), then a size below 2^40 or
  // unknown.
  if (byte(0) == 0x5d && prefix.has(1, "\0\0"sv) && prefix.size() > 13 &&
      (prefix.has(5, "\xff\xff\xff\xff\xff\xff\xff\xff") || prefix.has(10, "\0\0\0"sv))) {
    types.add(FileType::lzma);
  }
  if (prefix.has(0, "\x1f\x9d") && (byte(2) & 0x1f) >= 9 && (byte(2) & 0x1f) <= 16)
    types.add(FileType::compress);
  if (prefix.has(0, "\x60\xea") && prefix.le16(2).value_or(0) >= 30 && prefix.le16(2).value_or(0) <= 2600)
    types.add(FileType::arj);
  if (prefix.has(2, "-l") && (byte(4) == 'h' || byte(4) == 'z') && byte(6) == '-') types.add(FileType::lha);
  if (prefix.has(0, "\xc7\x71") || prefix.has(0, "\x71\xc7")) types.add(FileType::cpio);
  if (prefix.has(0, "BM") && prefix.has(6, "\0\0\0\0"sv)) {
    const uint32_t header = prefix.le32(14).value_or(0);
    if (header == 12 || (header >= 40 && header <= 124) || header == 16 || header == 64)
      types.add(FileType::bmp);
  }
  if ((prefix.has(0, "\0\0\x01\0"sv) || prefix.has(0, "\0\0\x02\0"sv)) && byte(4) != 0 && byte(5) == 0 &&
      prefix.has(9, "\0"sv))
    types.add(FileType::ico);
  if (prefix.has(0, "\x01\0\0\0"sv) && prefix.has(40, " EMF")) types.add(FileType::wmf);
  if (prefix.has(0, "ID3") && byte(3) < 0x10) types.add(FileType::mp3);
  const uint16_t tables = prefix.be16(4).value_or(0);
  if (prefix.has(0, "\0\x01\0\0"sv) && tables != 0 && tables < 64) types.add(FileType::ttf);
  // Readers look for the mark in the first 1024 bytes (PDF 1.7, implementation note 13).
  if (prefix.text(0, 1024).find("%PDF-") != std::string_view::npos) types.add(FileType::pdf);
  const uint32_t skippable = prefix.le32(0).value_or(0);
  if (skippable >= 0x184d2a50 && skippable <= 0x184d2a5f) types.add(FileType::zstd);
}

/// The checksum of a tar header, which those without "ustar" have as well: the sum of its bytes, its own
/// field read as spaces.
bool is_tar_header(const Prefix& prefix) {
  const std::string_view header = prefix.text(0, 512);
  if (header.size() < 512 || header[0] == '\0') return false;
  uint32_t sum = 8 * ' ';
  for (size_t i = 0; i < header.size(); ++i) {
    if (i < 148 || i >= 156) sum += static_cast<uint8_t>(header[i]);
  }
  uint32_t said = 0;
  bool has_digit = false;
  for (const char c : header.substr(148, 8)) {
    if (c == ' ' && !has_digit) continue;
    if (c < '0' || c > '7') break;
    said = said * 8 + static_cast<uint32_t>(c - '0');
    has_digit = true;
  }
  return has_digit && said == sum;
}

/// Bytes in one frame of MPEG sound (ISO 11172-3 section 2.4.2.3), 0 when it is no such header.
size_t mpeg_frame_bytes(uint32_t header) {
  constexpr std::array<std::array<uint16_t, 15>, 5> kilobits = {{
      {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},  // version 1, layer I
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},     // version 1, layer II
      {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},      // version 1, layer III
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},     // versions 2 and 2.5, layer I
      {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},          // the same, layers II and III
  }};
  constexpr std::array<uint32_t, 3> hertz = {44100, 48000, 32000};
  const uint32_t version = header >> 19 & 3;  // 0: 2.5, 2: 2, 3: 1
  const uint32_t layer = 4 - (header >> 17 & 3);
  const uint32_t rate = header >> 12 & 15;
  const uint32_t sampling = header >> 10 & 3;
  if (header >> 21 != 0x7ff || version == 1 || layer == 4 || rate == 0 || rate == 15 || sampling == 3)
    return 0;
  const bool is_first = version == 3;
  const uint32_t bits = kilobits[is_first ? layer - 1 : layer == 1 ? 3 : 4][rate] * 1000U;
  const uint32_t samples_per_s = hertz[sampling] >> (version == 3 ? 0 : version == 2 ? 1 : 2);
  const uint32_t padding = header >> 9 & 1;
  if (layer == 1) return (12 * bits / samples_per_s + padding) * 4;
  return (layer == 3 && !is_first ? 72 : 144) * bits / samples_per_s + padding;
}

bool is_mpeg_sound(const Prefix& prefix) {
  const size_t frame = mpeg_frame_bytes(prefix.be32(0).value_or(0));
  return frame != 0 && mpeg_frame_bytes(prefix.be32(frame).value_or(0)) != 0;
}

bool is_adts(const Prefix& prefix) {
  const auto frame = [&](size_t at) -> size_t {
    if ((prefix.be16(at).value_or(0) & 0xfff6) != 0xfff0) return 0;
    return (prefix.be32(at + 3).value_or(0) >> 13) & 0x1fff;
  };
  const size_t first = frame(0);
  return first > 7 && frame(first) > 7;
}

bool is_transport_stream(const Prefix& prefix) {
  const auto has_sync = [&](size_t first, size_t step) {
    for (size_t i = 0; i < 4; ++i) {
      if (prefix.u8(first + i * step) != uint8_t{0x47}) return false;
    }
    return true;
  };
  return has_sync(0, 188) || has_sync(4, 192);
}

}  // namespace

void add_signature_types(const Prefix& prefix, FileTypes& types) {
  for (const Signature& signature : signatures) {
    if (prefix.has(signature.offset, signature.magic)) types.add(signature.type);
  }
  add_conditional_types(prefix, types);
}

void add_weak_types(const Prefix& prefix, FileTypes& types) {
  if (is_tar_header(prefix)) types.add(FileType::tar);
  if (is_mpeg_sound(prefix)) types.add(FileType::mp3);
  if (is_adts(prefix)) types.add(FileType::aac);
  if (is_transport_stream(prefix)) types.add(FileType::mpeg_ts);
  // A jump, a cleared register or cli: how boot code begins.
  const uint8_t first = prefix.u8(0).value_or(0);
  const bool is_code =
      first == 0xeb || first == 0xe9 || first == 0x33 || first == 0x31 || first == 0xfa || first == 0x8c;
  if (is_code && prefix.has(510, "\x55\xaa")) types.add(FileType::boot_sector);
}

namespace {

/// Nothing has been recognised by the very first bytes, which text begins with as well.
bool may_be_text(const FileTypes& types) {
  FileTypes later = types;
  for (const FileType type :
       {FileType::pdf, FileType::tar, FileType::mobi, FileType::vdi, FileType::ace, FileType::lha})
    later.remove(type);
  return later.empty();
}

}  // namespace

FileTypes file_types_of(std::span<const uint8_t> bytes) {
  FileTypes types;
  if (bytes.empty()) return types;
  const Prefix prefix(bytes.first(std::min(bytes.size(), limits::content_prefix_bytes)));
  add_signature_types(prefix, types);
  add_program_types(prefix, types);
  if (types.has(FileType::zip)) add_zip_types(prefix, types);
  add_ole_types(prefix, types);
  add_media_types(prefix, types);
  if (types.empty()) add_weak_types(prefix, types);
  if (may_be_text(types)) add_text_types(prefix, types);
  // Whatever a type lies in is a type of it, too.
  const FileTypes inner = types;
  inner.for_each([&](FileType type) {
    for (FileType outer = container_of(type); !types.has(outer); outer = container_of(outer))
      types.add(outer);
  });
  if (types.empty()) types.add(FileType::unknown);
  return types;
}

}  // namespace sluice::scan
