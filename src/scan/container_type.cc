// What is inside of a PE, a ZIP and a compound file, as far as the prefix reaches.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/limits.h"
#include "scan/prefix.h"

namespace sluice::scan {

namespace {

using namespace std::string_view_literals;

// --- ZIP (APPNOTE section 4.3.7)

constexpr std::string_view local_header = "PK\x03\x04"sv;
constexpr size_t local_header_bytes = 30;
// [Content_Types].xml of a real document is 1 to 5 KB and says what it is in the first half.
constexpr size_t content_types_bytes_max = 16 * 1024;

struct ZipEntry {
  std::string_view name;
  std::string_view data;  // as far as it is in the prefix
  uint16_t method = 0;
};

/// The raw deflate data of an entry, as far as it goes.
std::string inflated(std::string_view data) {
  std::string out(content_types_bytes_max, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return {};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));  // zlib does not write to it
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  (void)inflate(&stream, Z_SYNC_FLUSH);  // whatever it made of it will do
  out.resize(out.size() - stream.avail_out);
  inflateEnd(&stream);
  return out;
}

/// Calls `each(entry)` for the local headers in the prefix. Where an entry's size is told behind it, the next
/// header is searched.
template <class Each>
void for_each_entry(const Prefix& prefix, Each&& each) {
  size_t at = prefix.text().find(local_header);
  while (at != std::string_view::npos && prefix.has(at, local_header)) {
    const auto method = prefix.le16(at + 8);
    const auto flags = prefix.le16(at + 6);
    const auto packed = prefix.le32(at + 18);
    const auto name_size = prefix.le16(at + 26);
    const auto extra_size = prefix.le16(at + 28);
    if (!extra_size) return;
    const size_t data = at + local_header_bytes + *name_size + *extra_size;
    const bool is_size_behind = (*flags & 8) != 0 && *packed == 0;
    size_t next = data + *packed;
    if (is_size_behind && data < prefix.size()) next = prefix.text().find(local_header, data);
    each(ZipEntry{prefix.text(at + local_header_bytes, *name_size),
                  prefix.text(data, next == std::string_view::npos ? next : next - data), *method});
    at = next;
  }
}

/// The first entry of OpenDocument and EPUB, stored: their MIME type.
void add_mimetype(std::string_view type, FileTypes& types) {
  constexpr std::string_view open_document = "application/vnd.oasis.opendocument."sv;
  if (type.starts_with("application/epub+zip")) return types.add(FileType::epub);
  if (!type.starts_with(open_document)) return;
  type.remove_prefix(open_document.size());
  types.add(type.starts_with("text")           ? FileType::odt
            : type.starts_with("spreadsheet")  ? FileType::ods
            : type.starts_with("presentation") ? FileType::odp
                                               : FileType::odf);
}

struct ZipSigns {
  bool is_ooxml = false;
  bool has_content_types = false;
  bool has_manifest = false;
};

void add_content_types(const ZipEntry& entry, FileTypes& types) {
  const std::string text = entry.method == 8 ? inflated(entry.data) : std::string(entry.data);
  const auto says = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  if (says("wordprocessingml") || says("application/vnd.ms-word")) types.add(FileType::docx);
  if (says("spreadsheetml") || says("application/vnd.ms-excel")) types.add(FileType::xlsx);
  if (says("presentationml") || says("application/vnd.ms-powerpoint")) types.add(FileType::pptx);
  if (says("macroEnabled") || says("vbaProject")) types.add(FileType::ooxml_macro);
}

void add_entry(const ZipEntry& entry, FileTypes& types, ZipSigns& signs) {
  const std::string_view name = entry.name;
  if (name == "mimetype" && entry.method == 0) add_mimetype(entry.data, types);
  if (name == "[Content_Types].xml" && !signs.has_content_types) {  // the first: inflating costs
    signs.is_ooxml = signs.has_content_types = true;
    add_content_types(entry, types);
  }
  if (name == "_rels/.rels" || name.starts_with("docProps/")) signs.is_ooxml = true;
  if (name.starts_with("word/")) types.add(FileType::docx);
  if (name.starts_with("xl/")) types.add(FileType::xlsx);
  if (name.starts_with("ppt/")) types.add(FileType::pptx);
  if (name.ends_with("vbaProject.bin")) types.add(FileType::ooxml_macro);
  if (name == "AndroidManifest.xml" || name == "classes.dex") types.add(FileType::apk);
  if (name == "AppxManifest.xml" || name == "AppxBlockMap.xml" || name == "AppxSignature.p7x")
    types.add(FileType::msix);
  if (name.starts_with("Payload/") && name.find(".app/") != std::string_view::npos) types.add(FileType::ipa);
  if (name.starts_with("META-INF/mozilla") || name == "install.rdf") types.add(FileType::xpi);
  if (name == "META-INF/" || name == "META-INF/MANIFEST.MF" || name.ends_with(".class"))
    signs.has_manifest = true;
}

// --- compound files (MS-CFB)

constexpr std::string_view compound_file = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv;
constexpr size_t directory_entry_bytes = 128;
// Root CLSIDs of installer packages, transforms and patches: {000C1084…}, {000C1082…}, {000C1086…} in their
// byte order.
constexpr std::string_view installer_clsid_tail = "\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"sv;

std::string utf16(std::string_view ascii) {
  std::string wide;
  for (const char c : ascii) wide += {c, '\0'};
  return wide;
}

void add_stream_name(std::string_view wide, FileTypes& types) {
  const auto is = [&](std::string_view ascii) { return wide == utf16(ascii); };
  if (is("WordDocument")) types.add(FileType::doc);
  if (is("Workbook") || is("Book")) types.add(FileType::xls);
  if (is("PowerPoint Document")) types.add(FileType::ppt);
  if (is("__properties_version1.0")) types.add(FileType::msg);
  // Installer databases squeeze two characters of a name into one of U+3800 to U+4840, the table mark.
  if (wide.size() >= 2 && wide[0] == '\x40' && wide[1] == '\x48') types.add(FileType::msi);
}

void add_directory(const Prefix& prefix, size_t at, FileTypes& types) {
  for (; at + directory_entry_bytes <= prefix.size(); at += directory_entry_bytes) {
    const size_t name_bytes = prefix.le16(at + 64).value_or(0);
    const uint8_t kind = prefix.u8(at + 66).value_or(0);
    if (kind == 0 || kind > 5 || name_bytes < 2 || name_bytes > 64) return;  // unused, or no directory
    add_stream_name(prefix.text(at, name_bytes - 2), types);
    const bool is_root = kind == 5;
    const std::string_view clsid = prefix.text(at + 80, 16);
    if (is_root && clsid.size() == 16 && clsid.substr(1) == installer_clsid_tail &&
        (clsid[0] == '\x84' || clsid[0] == '\x82' || clsid[0] == '\x86')) {
      types.add(FileType::msi);
    }
  }
}

}  // namespace

void add_program_types(const Prefix& prefix, FileTypes& types) {
  if (!prefix.has(0, "MZ") && !prefix.has(0, "ZM")) return;
  const auto header = prefix.le32(0x3c);
  if (!header) return;
  if (prefix.has(*header, "PE\0\0"sv)) {
    types.add(FileType::pe);
    constexpr uint16_t is_dll = 0x2000;
    if ((prefix.le16(*header + 22).value_or(0) & is_dll) != 0) types.add(FileType::dll);
  } else if (*header >= prefix.size() && prefix.size() == limits::content_prefix_bytes) {
    types.add(FileType::pe);  // its header may lie further behind than we see
  } else {
    types.add(FileType::dos);
  }
}

void add_zip_types(const Prefix& prefix, FileTypes& types) {
  ZipSigns signs;
  FileTypes found;
  for_each_entry(prefix, [&](const ZipEntry& entry) { add_entry(entry, found, signs); });
  const bool is_program = found.has(FileType::apk) || found.has(FileType::xpi) || found.has(FileType::ipa) ||
                          found.has(FileType::msix);
  const bool is_document = !found.empty() && !is_program;
  if (signs.is_ooxml && found.empty()) found.add(FileType::ooxml);
  if (signs.has_manifest && !is_program && !is_document && !signs.is_ooxml) found.add(FileType::jar);
  found.for_each([&](FileType type) { types.add(type); });
}

void add_ole_types(const Prefix& prefix, FileTypes& types) {
  if (!prefix.has(0, compound_file)) return;
  types.add(FileType::ole);
  const uint16_t shift = prefix.le16(30).value_or(0);
  const uint32_t directory = prefix.le32(48).value_or(0);
  if (shift >= 7 && shift <= 16 && directory < 0xfffffffa) {
    add_directory(prefix, (size_t{directory} + 1) << shift, types);
  }
  // The directory is often at the end; then the first stream is behind the header, and its own mark tells.
  if (prefix.has(512, "\xec\xa5"sv)) types.add(FileType::doc);
  if (prefix.has(512, "\x09\x08\x10\0\0\x06\x05\0"sv)) types.add(FileType::xls);
  if (prefix.has(512, "\xa0\x46\x1d\xf0"sv) || prefix.has(512, "\0\x6e\x1e\xf0"sv) ||
      prefix.has(512, "\x0f\0\xe8\x03"sv))
    types.add(FileType::ppt);
}

}  // namespace sluice::scan
