// Types by content. Every sample is made here, of the few bytes that its format asks for.
#include "scan/file_type.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "base/limits.h"
#include "unit/scan/coded.h"

using namespace sluice;
using namespace sluice::scan;
using namespace sluice::scan::testing;
using namespace std::string_literals;

namespace {

/// The names in the order of the table, containers behind: "docx zip".
std::string types(std::string_view content) {
  const std::vector<uint8_t> bytes(content.begin(), content.end());  // of just that size, for sanitizers
  const FileTypes found = file_types_of(bytes);
  FileTypes containers;
  found.for_each([&](FileType type) {
    if (container_of(type) != type) containers.add(container_of(type));
  });
  std::string names;
  const auto add = [&](FileType type) { names += (names.empty() ? "" : " ") + std::string(to_string(type)); };
  found.for_each([&](FileType type) {
    if (!containers.has(type)) add(type);
  });
  found.for_each([&](FileType type) {
    if (containers.has(type)) add(type);
  });
  return names;
}

std::string le16(size_t value) { return {static_cast<char>(value), static_cast<char>(value >> 8)}; }
std::string le32(size_t value) { return le16(value) + le16(value >> 16); }
std::string be32(size_t value) {
  const std::string little = le32(value);
  return {little.rbegin(), little.rend()};
}
std::string padded(std::string text, size_t size) {
  text.resize(size, '\0');
  return text;
}
std::string at(size_t offset, const std::string& text, size_t size = 0) {
  return padded(std::string(offset, '\0') + text, std::max(size, offset + text.size()));
}
std::string utf16(std::string_view text) {
  std::string wide = "\xff\xfe";
  for (const char c : text) wide += {c, '\0'};
  return wide;
}

std::string program(size_t header_at, const std::string& mark, uint16_t flags) {
  std::string file = padded("MZ\x90", 0x3c) + le32(header_at);
  file = padded(file, header_at) + mark + padded("\x64\x86", 18) + le16(flags);
  return padded(file, header_at + 512);
}

struct Entry {
  std::string name;
  std::string data;
  bool is_packed = false;
  bool is_size_behind = false;
};
std::string zip(const std::vector<Entry>& entries) {
  std::string file;
  for (const Entry& entry : entries) {
    const std::string data = entry.is_packed ? deflated(entry.data, -MAX_WBITS) : entry.data;
    const size_t size = entry.is_size_behind ? 0 : data.size();
    file += "PK\x03\x04\x14\0"s + le16(entry.is_size_behind ? 8 : 0) + le16(entry.is_packed ? 8 : 0) +
            le32(0) + le32(0) + le32(size) + le32(size) + le16(entry.name.size()) + le16(4) + entry.name +
            "abcd" + data;
    if (entry.is_size_behind) file += "PK\x07\x08" + le32(0) + le32(data.size()) + le32(data.size());
  }
  return file + "PK\x01\x02" + std::string(60, '\0') + "PK\x05\x06" + std::string(18, '\0');
}
std::string content_types(const std::string& type) {
  return "<?xml version=\"1.0\"?><Types><Override PartName=\"/x\" ContentType=\"application/vnd." + type +
         "\"/></Types>";
}

std::string directory_entry(const std::string& wide_name, char kind, const std::string& clsid = "") {
  std::string entry = padded(wide_name, 64) + le16(wide_name.size() + 2) + kind;
  return padded(padded(entry, 80) + clsid, 128);
}
std::string wide(std::string_view ascii) { return utf16(ascii).substr(2); }
std::string compound(const std::string& first_sector, const std::string& directory,
                     size_t directory_sector = 1) {
  const std::string header =
      padded("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 30) + le16(9) + padded("", 16) + le32(directory_sector);
  return padded(padded(padded(header, 512) + first_sector, (directory_sector + 1) * 512) + directory,
                (directory_sector + 3) * 512);
}

std::string box(const std::string& kind, const std::string& content) {
  return be32(8 + content.size()) + kind + content;
}
std::string ebml(const std::string& type) {
  const std::string doc_type = "\x42\x82"s + static_cast<char>(0x80 + type.size()) + type;
  return "\x1a\x45\xdf\xa3"s + static_cast<char>(0x80 + 4 + doc_type.size()) + "\x42\x86\x81\x01" + doc_type +
         "\x18\x53\x80\x67";
}
std::string ogg(const std::string& packet) {
  return "OggS"s + std::string(22, '\0') + '\x01' + static_cast<char>(packet.size()) + packet;
}
std::string repeated(const std::string& part, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += part;
  return all;
}
std::string old_tar() {
  std::string header = padded(padded("file.txt", 100) + "0000644\0"s, 512);
  header.replace(148, 8, std::string(8, ' '));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<uint8_t>(c);
  char digits[8];
  snprintf(digits, sizeof digits, "%06o", sum);
  return header.replace(148, 7, std::string(digits, 6) + '\0');
}

}  // namespace

TEST_CASE("no content has no type; content that nothing is known of has one") {
  CHECK(types("") == "");
  CHECK(types("\0"s) == "unknown");
  CHECK(types("\x01\x02\x03\x04\x05") == "unknown");
}

TEST_CASE("programs") {
  CHECK(types(program(0x80, "PE\0\0"s, 0x0002)) == "pe");
  CHECK(types(program(0x100, "PE\0\0"s, 0x2022)) == "dll pe");
  CHECK(types(program(0x80, "NE\0\0"s, 0)) == "dos");
  CHECK(types(padded("MZ", 64)) == "dos");
  CHECK(types(program(20000, "PE\0\0"s, 0)) ==
        "pe");  // its header lies behind the prefix: taken for what it is most often
  CHECK(types(padded("\x7f"
                     "ELF\x02\x01\x01",
                     64)) == "elf");
  CHECK(types("\xcf\xfa\xed\xfe\x07\0\0\x01"s) == "macho");
  CHECK(types("\xca\xfe\xba\xbe\0\0\0\x02"s + padded("", 40)) == "macho");
  CHECK(types("\xca\xfe\xba\xbe\0\0\0\x34"s + padded("", 40)) == "java_class");
  CHECK(types("L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F"s) == "lnk");
  CHECK(types("dex\n035\0"s + padded("", 40)) == "dex");
  CHECK(types("\0asm\x01\0\0\0"s) == "wasm");
  CHECK(types("CWS\x0a\x10\x20\0\0"s) == "swf");
  CHECK(types("ITSF\x03\0\0\0"s) == "chm");
  CHECK(types("\xed\xab\xee\xdb\x03\0\0\0"s) == "rpm");
  CHECK(types("Cr24\x03\0\0\0"s) == "crx");
  CHECK(types("!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n") == "deb ar");
}

TEST_CASE("what is inside of a ZIP") {
  CHECK(types(zip({{"a.txt", "hello"}})) == "zip");
  CHECK(types("PK\x05\x06"s + std::string(18, '\0')) == "zip");
  CHECK(types(zip({{"META-INF/MANIFEST.MF", "Manifest-Version: 1.0"}, {"A.class", "x"}})) == "jar zip");
  CHECK(types(zip({{"AndroidManifest.xml", "x", true, true}, {"META-INF/MANIFEST.MF", "x"}})) == "apk zip");
  CHECK(types(zip({{"AppxManifest.xml", "x"}})) == "msix zip");
  CHECK(types(zip({{"Payload/A.app/Info.plist", "x"}})) == "ipa zip");
  CHECK(types(zip({{"META-INF/mozilla.rsa", "x"}, {"META-INF/manifest.mf", "x"}})) == "xpi zip");
  CHECK(types(zip({{"mimetype", "application/epub+zip"}})) == "epub zip");
  CHECK(types(zip({{"mimetype", "application/vnd.oasis.opendocument.text"}})) == "odt zip");
  CHECK(types(zip({{"mimetype", "application/vnd.oasis.opendocument.spreadsheet-template"}})) == "ods zip");
  CHECK(types(zip({{"mimetype", "application/vnd.oasis.opendocument.presentation"}})) == "odp zip");
  CHECK(types(zip({{"mimetype", "application/vnd.oasis.opendocument.graphics"}})) == "odf zip");
}

TEST_CASE("Office files, by the names in them or by their list of content types") {
  for (const bool is_size_behind : {false, true}) {
    CHECK(types(zip({{"[Content_Types].xml", "<x/>", true, is_size_behind},
                     {"word/document.xml", "x", true, is_size_behind}})) == "docx zip");
    CHECK(types(zip({{"[Content_Types].xml", "<x/>", true, is_size_behind}, {"xl/workbook.xml", "x"}})) ==
          "xlsx zip");
    CHECK(types(zip({{"_rels/.rels", "x", true, is_size_behind}, {"ppt/presentation.xml", "x"}})) ==
          "pptx zip");
    CHECK(types(zip({{"[Content_Types].xml",
                      content_types("openxmlformats-officedocument.wordprocessingml.document.main+xml"), true,
                      is_size_behind}})) == "docx zip");
    CHECK(types(zip({{"[Content_Types].xml", content_types("ms-excel.sheet.macroEnabled.main+xml"), true,
                      is_size_behind}})) == "xlsx ooxml_macro zip");
  }
  CHECK(types(zip({{"[Content_Types].xml", "<x/>"}})) == "ooxml zip");
  CHECK(types(zip({{"word/document.xml", "x"}, {"word/vbaProject.bin", "x"}})) == "docx ooxml_macro zip");
  // What comes behind the prefix is not seen.
  CHECK(types(zip({{"_rels/.rels", std::string(limits::content_prefix_bytes, 'x')},
                   {"word/document.xml", "x"}})) == "ooxml zip");
}

TEST_CASE("compound files") {
  const std::string root = directory_entry(wide("Root Entry"), 5);
  CHECK(types(compound("", root)) == "ole");
  CHECK(types(compound("", root + directory_entry(wide("WordDocument"), 2))) == "doc ole");
  CHECK(types(compound("", root + directory_entry(wide("Workbook"), 2))) == "xls ole");
  CHECK(types(compound("", root + directory_entry(wide("PowerPoint Document"), 2))) == "ppt ole");
  CHECK(types(compound("", root + directory_entry(wide("__properties_version1.0"), 2))) == "msg ole");
  CHECK(types(compound("", directory_entry(wide("Root Entry"), 5,
                                           "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"s))) == "msi ole");
  CHECK(types(compound("", root + directory_entry("\x40\x48\xca\x41"s, 2))) == "msi ole");
  CHECK(types(compound("\xec\xa5\xc1\0"s, root, 100)) == "doc ole");
  CHECK(types(compound("\x09\x08\x10\0\0\x06\x05\0"s, root, 100)) == "xls ole");
}

TEST_CASE("archives and images of disks") {
  CHECK(types("Rar!\x1a\x07\x01\0"s) == "rar");
  CHECK(types("7z\xbc\xaf\x27\x1c\0\x04"s) == "7z");
  CHECK(types(at(257, "ustar\0"s + "00", 512)) == "tar");
  CHECK(types(old_tar()) == "tar");
  CHECK(types(gzipped("x")) == "gzip");
  CHECK(types("BZh91AY&SY\x12\x34") == "bzip2");
  CHECK(types("\xfd"
              "7zXZ\0\0\x04"s) == "xz");
  CHECK(types("\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x12"s) == "lzma");
  CHECK(types(zstded("x")) == "zstd");
  CHECK(types("\x04\x22\x4d\x18\x64\x40"s) == "lz4");
  CHECK(types("LZIP\x01\x0c\0"s) == "lzip");
  CHECK(types("\x1f\x9d\x90\x61\0"s) == "compress");
  CHECK(types("MSCF\0\0\0\0\x10"s) == "cab");
  CHECK(types("\x60\xea\x29\0\x1e\x06"s) == "arj");
  CHECK(types("\x20\x05-lh5-\x10\0"s) == "lha");
  CHECK(types(at(7, "**ACE**", 30)) == "ace");
  CHECK(types("070701000000000000") == "cpio");
  CHECK(types("!<arch>\nfoo.o/") == "ar");
  CHECK(types("xar!\0\x1c\0\x01"s) == "xar");
  CHECK(types("MSWIM\0\0\0\xd0"s) == "wim");
  CHECK(types("conectix\0\0"s) == "vhd");
  CHECK(types("vhdxfileM\0"s) == "vhdx");
  CHECK(types("KDMV\x01\0\0\0"s) == "vmdk");
  CHECK(types(at(64, "\x7f\x10\xda\xbe", 100)) == "vdi");
  CHECK(types("QFI\xfb\0\0\0\x03"s) == "qcow2");
  CHECK(types("hsqs\x02\0\0\0"s) == "squashfs");
  CHECK(types(padded("\xeb\x63\x90", 510) + "\x55\xaa") == "boot_sector");
}

TEST_CASE("documents") {
  CHECK(types("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\0"s) == "pdf");
  CHECK(types("\n\n %PDF-1.4\n") == "pdf");
  CHECK(types("GIF89a\x01\0\x01\0"s + padded("", 600) + "%PDF-1.4") == "pdf gif");  // two things at once
  CHECK(types(padded("", 1020) + "%PDF-1.4") == "unknown");                         // too late for a reader
  CHECK(types("{\\rtf1\\ansi}") == "rtf");
  CHECK(types("%!PS-Adobe-3.0\n") == "postscript");
  CHECK(types(at(60, "BOOKMOBI", 100)) == "mobi");
  CHECK(types("AT&TFORM\0\0\0\0DJVU"s) == "djvu");
}

TEST_CASE("pictures, sound, films and fonts") {
  CHECK(types("\xff\xd8\xff\xe0\0\x10JFIF\0"s) == "jpeg");
  CHECK(types("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"s) == "png");
  CHECK(types("GIF89a\x01\0\x01\0"s) == "gif");
  CHECK(types("RIFF\x24\0\0\0WEBPVP8 "s) == "webp");
  CHECK(types(box("ftyp", "avif\0\0\0\0mif1avif"s)) == "avif");
  CHECK(types(box("ftyp", "mif1\0\0\0\0mif1heic"s)) == "heic");
  CHECK(types("\0\0\0\x0cJXL \r\n\x87\n\0"s) == "jxl");
  CHECK(types("\0\0\0\x0cjP  \r\n\x87\n\0"s) == "jp2");
  CHECK(types("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"s) == "bmp");
  CHECK(types("\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0"s) == "ico");
  CHECK(types("II*\0\x08\0\0\0"s) == "tiff");
  CHECK(types("8BPS\0\x01\0\0"s) == "psd");
  CHECK(types("\xd7\xcd\xc6\x9a\0\0"s) == "wmf");
  CHECK(types("ID3\x04\0\0\0\0\0\0"s) == "mp3");
  CHECK(types(repeated(padded("\xff\xfb\x90\x64", 417), 3)) == "mp3");              // 128 kbit/s, 44.1 kHz
  CHECK(types(repeated(padded("\xff\xf1\x50\x80\x2e\x7f\xfc", 371), 3)) == "aac");  // frame length 0x173
  CHECK(types(box("ftyp", "M4A \0\0\0\0isom"s)) == "m4a");
  CHECK(types("fLaC\0\0\0\x22"s) == "flac");
  CHECK(types(ogg("\x01vorbis")) == "ogg");
  CHECK(types(ogg("OpusHead")) == "ogg");
  CHECK(types(ogg("\x80theora")) == "ogv");
  CHECK(types("RIFF\x24\0\0\0WAVEfmt "s) == "wav");
  CHECK(types("FORM\0\0\0\x20"
              "AIFFCOMM"s) == "aiff");
  CHECK(types("MThd\0\0\0\x06"s) == "midi");
  CHECK(types("#!AMR\n\x3c") == "amr");
  CHECK(types(box("ftyp", "isom\0\0\0\0mp42"s)) == "mp4");
  CHECK(types(box("styp", "msdh\0\0\0\0"s)) == "mp4");
  CHECK(types(box("moof", std::string(100, '\0'))) == "mp4");
  CHECK(types(box("ftyp", "qt  \0\0\0\0"s)) == "mov");
  CHECK(types(box("moov", std::string(20, '\0'))) == "mov");
  CHECK(types(box("ftyp", "3gp5\0\0\0\0"s)) == "3gp");
  CHECK(types(ebml("webm")) == "webm");
  CHECK(types(ebml("matroska")) == "matroska");
  CHECK(types("RIFF\x24\0\0\0AVI LIST"s) == "avi");
  CHECK(types("\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"s) == "asf");
  CHECK(types("FLV\x01\x05\0\0\0\x09"s) == "flv");
  CHECK(types("\0\0\x01\xba\x44"s) == "mpeg");
  CHECK(types(repeated(padded("G\x40\x11\x10", 188), 5)) == "mpeg_ts");
  CHECK(types("\0\x01\0\0\0\x0f\0\x80"s) == "ttf");
  CHECK(types("OTTO\0\x0b"s) == "otf");
  CHECK(types("wOFF\0\x01\0\0"s) == "woff");
  CHECK(types("wOF2\0\x01\0\0"s) == "woff2");
}

TEST_CASE("scripts") {
  CHECK(types("#!/bin/sh\necho hi\n") == "shell");
  CHECK(types("#! /usr/bin/env -S FOO=1 python3.11 -u\n") == "python");
  CHECK(types("#!/usr/bin/perl -w") == "perl");
  CHECK(types("#!/usr/bin/env ruby\n") == "ruby");
  CHECK(types("#!/usr/bin/env node\nx") == "node");
  CHECK(types("#!/usr/bin/pwsh\n") == "powershell");
  CHECK(types("#!/usr/bin/awk -f\n") == "other_script");
  CHECK(types("#!\n") == "other_script");
  CHECK(types("\xef\xbb\xbf<?php echo 1;") == "php");
  CHECK(types("@echo off\r\ndel x") == "batch");
  CHECK(types("REM a comment\r\n") == "batch");
  CHECK(types(utf16("\r\nparam([string]$x)\r\n")) == "powershell");
  CHECK(types("function Get-Thing { }") == "powershell");
  CHECK(types("$c = New-Object Net.WebClient\n") == "powershell");
  CHECK(types("Set s = CreateObject(\"WScript.Shell\")\r\n") == "vbscript");
  CHECK(types("Option Explicit\nDim x\n") == "vbscript");
  CHECK(types("<html><head><HTA:APPLICATION id=x></head>") == "hta html");
  CHECK(types("<job id=\"x\"><script language=\"JScript\">x</script></job>") == "wsf xml");
}

TEST_CASE("text") {
  CHECK(types("hello, world\n") == "plain");
  CHECK(types("caf\xc3\xa9") == "plain");
  CHECK(types("caf\xe9") == "plain");
  CHECK(types(utf16("hello")) == "plain");
  CHECK(types("function get() { return 1; }") == "plain");  // JavaScript is not told from its text
  CHECK(types("$(document).ready(function () {})") == "plain");
  CHECK(types("set of things") == "plain");
  CHECK(types("  <!DOCTYPE HTML>\n<html>") == "html");
  CHECK(types("<!-- x --><p>") == "html");
  CHECK(types("<pre") == "plain");
  CHECK(types("<?xml version=\"1.0\"?><note/>") == "xml");
  CHECK(types("<?xml version=\"1.0\"?><html xmlns=\"\">") == "html xml");
  CHECK(types("<?xml version=\"1.0\"?><!-- x --><!DOCTYPE svg><svg xmlns=\"\">") == "svg xml");
  CHECK(types("<svg width=\"1\">") == "svg xml");
  CHECK(types("<rss version=\"2.0\">") == "xml");
  for (const char* json : {"{}", "{ \"a\" : 1 }", "[]", "[1, 2]", "[\"a\\\"]\", 1]", "[{\"a\":1}]", "[true]",
                           "[-1.5e+3", "[\n  null\n]"})
    CHECK(types(json) == "json");
  for (const char* other : {"{a: 1}", "[section]\nkey=1", "[x]", "{%", "[1] a footnote"})
    CHECK(types(other) == "plain");
  CHECK(types("#EXTM3U\n#EXT-X-VERSION:3\n") == "m3u");
  CHECK(types("Windows Registry Editor Version 5.00\r\n") == "registry");
  CHECK(types(utf16("Windows Registry Editor Version 5.00\r\n")) == "registry");
  CHECK(types("-----BEGIN PGP MESSAGE-----\n") == "pgp");
  CHECK(types("-----BEGIN CERTIFICATE-----\n") == "certificate");
  CHECK(
      types("MZ is how this text begins, and it goes on for more than sixty-four bytes of ordinary words.") ==
      "dos");
  CHECK(types("SQLite format 3\0\x10\0"s) == "sqlite");
  CHECK(types("d8:announce30:http://tracker.example/announce") == "torrent");
  CHECK(types("\xd4\xc3\xb2\xa1\x02\0\x04\0"s) == "pcap");
}

TEST_CASE("a type is the same however much follows, and is never more than the prefix says") {
  const std::string file = program(0x80, "PE\0\0"s, 0x2000);
  CHECK(types(file + std::string(100'000, 'x')) == "dll pe");
  for (size_t size = 0; size <= file.size(); ++size) (void)types(std::string_view(file).substr(0, size));
  const std::string archive =
      zip({{"[Content_Types].xml", content_types("ms-word"), true}, {"word/document.xml", "x"}});
  for (size_t size = 0; size <= archive.size(); ++size)
    (void)types(std::string_view(archive).substr(0, size));
}
