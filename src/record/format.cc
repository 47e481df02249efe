#include "record/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"

namespace sluice::record {
namespace {

// --- characters
// -----------------------------------------------------------------------------------------------------

/// Bytes that may be copied as they are, `special` excepted: printable ASCII.
constexpr std::array<bool, 256> plain_except(std::string_view special) {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x7f; ++c) plain[c] = true;
  for (const char c : special) plain[static_cast<unsigned char>(c)] = false;
  return plain;
}
constexpr auto plain_in_quotes = plain_except("\"\\");
constexpr auto plain_bare = plain_except("\"\\ =");  // a key=value value without quotes
constexpr auto plain_in_cef_value = plain_except("\\=");
constexpr auto plain_in_cef_header = plain_except("\\|");

// --- writing
// --------------------------------------------------------------------------------------------------------

constexpr char hex_digits[] = "0123456789abcdef";

/// Writes behind `at_`. The sizes in format.h make sure that there is room; `finish` checks that they were
/// right.
class Cursor {
 public:
  explicit Cursor(std::span<char, line_bytes_max> out)
      : begin_(out.data()), at_(out.data()), end_(begin_ + out.size()) {}

  void put(char c) { *at_++ = c; }
  void put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void put_number(uint64_t value) { at_ = std::to_chars(at_, end_, value).ptr; }
  void put_padded(unsigned value, unsigned digits) {
    for (unsigned i = digits; i-- > 0; value /= 10) at_[i] = static_cast<char>('0' + value % 10);
    at_ += digits;
  }
  void put_endpoint(const Endpoint& endpoint);
  void put_address(const IpAddress& address) {
    at_ += address.write_to(std::span<char, IpAddress::text_bytes_max>(at_, IpAddress::text_bytes_max));
  }
  void put_hex(std::span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) {
      put(hex_digits[byte >> 4]);
      put(hex_digits[byte & 0xf]);
    }
  }
  void put_time(int64_t time_us);
  void put_ms(uint64_t us) {
    put_number(us / 1000);
    put('.');
    put_padded(static_cast<unsigned>(us % 1000), 3);
  }

  /// At most `bytes_max` bytes. `escape(cursor, text)` writes the one character at the front of `text` and
  /// returns how many bytes it has.
  template <class Escape>
  void put_escaped(std::string_view text, size_t bytes_max, const std::array<bool, 256>& plain,
                   Escape escape);

  [[nodiscard]] size_t finish() {
    put('\n');
    SLUICE_CHECK(at_ <= end_);
    return static_cast<size_t>(at_ - begin_);
  }

 private:
  char* begin_;
  char* at_;
  char* end_;
};

template <class Escape>
void Cursor::put_escaped(std::string_view text, size_t bytes_max, const std::array<bool, 256>& plain,
                         Escape escape) {
  constexpr std::string_view ellipsis = "\u2026";
  constexpr size_t one_character_bytes_max = 15;  // CEF: three bytes of UTF-8 as \\xNN each
  const char* const cut = at_ + bytes_max - one_character_bytes_max - ellipsis.size();
  while (!text.empty()) {
    const size_t run_max = std::min(text.size(), static_cast<size_t>(cut - at_));
    size_t run = 0;
    while (run < run_max && plain[static_cast<unsigned char>(text[run])]) ++run;
    put(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) return;
    if (at_ >= cut) return put(ellipsis);
    text.remove_prefix(escape(*this, text));
    if (at_ >= cut && !text.empty()) return put(ellipsis);
  }
}

void Cursor::put_endpoint(const Endpoint& endpoint) {
  const bool bracketed = !endpoint.address.is_v4();
  if (bracketed) put('[');
  put_address(endpoint.address);
  if (bracketed) put(']');
  put(':');
  put_number(endpoint.port);
}

/// "2026-11-21T18:00:00.123456Z". Days to date: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms". Years past 9999 cannot be written in RFC 3339; they and times before 1970 are written as
/// 1970.
void Cursor::put_time(int64_t time_us) {
  constexpr int64_t year_10000_us = 253'402'300'800'000'000;
  const auto us = static_cast<uint64_t>(time_us >= 0 && time_us < year_10000_us ? time_us : 0);
  const auto second_of_day = static_cast<unsigned>(us / 1'000'000 % 86'400);
  const auto days = static_cast<unsigned>(us / 1'000'000 / 86'400) + 719'468;  // since 0000-03-01
  const unsigned era = days / 146'097;
  const unsigned day_of_era = days % 146'097;
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);  // from March 1
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;                  // 0: March
  const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;

  put_padded(year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4);
  put('-');
  put_padded(month, 2);
  put('-');
  put_padded(day_of_year - (153 * shifted_month + 2) / 5 + 1, 2);
  put('T');
  put_padded(second_of_day / 3'600, 2);
  put(':');
  put_padded(second_of_day / 60 % 60, 2);
  put(':');
  put_padded(second_of_day % 60, 2);
  put('.');
  put_padded(static_cast<unsigned>(us % 1'000'000), 6);
  put('Z');
}

/// JSON's escapes (RFC 8259 section 7); key=value readers know the same ones.
size_t escape_in_quotes(Cursor& out, std::string_view text) {
  const auto unicode = [&](uint32_t code) {
    out.put("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) out.put(hex_digits[(code >> shift) & 0xf]);
  };
  const char c = text.front();
  const auto byte = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    out.put('\\');
    out.put(c);
  } else if (c == '\n') {
    out.put("\\n");
  } else if (c == '\r') {
    out.put("\\r");
  } else if (c == '\t') {
    out.put("\\t");
  } else if (byte < 0x80) {
    unicode(byte);
  } else {
    const Character character = decode_utf8(text);
    if (character.bytes == 0) {
      unicode(byte);
      return 1;
    }
    if (is_unsafe_to_show(character.code))
      unicode(character.code);
    else
      out.put(text.substr(0, character.bytes));
    return character.bytes;
  }
  return 1;
}

/// CEF's escapes: a backslash before itself and before the separator, \n and \r in values. The rest as text
/// "\xNN".
size_t escape_in_cef(Cursor& out, std::string_view text) {
  const auto as_text = [&](char raw) {
    out.put("\\\\x");
    out.put(hex_digits[static_cast<unsigned char>(raw) >> 4]);
    out.put(hex_digits[static_cast<unsigned char>(raw) & 0xf]);
  };
  const char c = text.front();
  if (c == '\\' || c == '=' || c == '|') {
    out.put('\\');
    out.put(c);
  } else if (c == '\n') {
    out.put("\\n");
  } else if (c == '\r') {
    out.put("\\r");
  } else if (static_cast<unsigned char>(c) < 0x80) {
    as_text(c);
  } else {
    const Character character = decode_utf8(text);
    const size_t bytes = character.bytes == 0 ? 1 : character.bytes;
    if (character.bytes == 0 || is_unsafe_to_show(character.code)) {
      for (size_t i = 0; i < bytes; ++i) as_text(text[i]);
    } else {
      out.put(text.substr(0, bytes));
    }
    return bytes;
  }
  return 1;
}

// --- the three formats
// ----------------------------------------------------------------------------------------------

class JsonLine {
 public:
  explicit JsonLine(Cursor& out) : out_(out) {}
  void begin_value(std::string_view key) {
    out_.put(first_ ? "{\"" : ",\"");
    first_ = false;
    out_.put(key);
    out_.put("\":");
  }
  template <class Write>
  void quoted(std::string_view key, Write write) {
    begin_value(key);
    out_.put('"');
    write();
    out_.put('"');
  }
  void text(std::string_view key, std::string_view value, size_t bytes_max) {
    quoted(key, [&] { out_.put_escaped(value, bytes_max, plain_in_quotes, escape_in_quotes); });
  }
  void end() { out_.put('}'); }

 private:
  Cursor& out_;
  bool first_ = true;
};

/// logfmt: quotes only where a value needs them.
class KeyValueLine {
 public:
  explicit KeyValueLine(Cursor& out) : out_(out) {}
  void begin_value(std::string_view key) {
    if (!first_) out_.put(' ');
    first_ = false;
    out_.put(key);
    out_.put('=');
  }
  template <class Write>
  void quoted(std::string_view key, Write write) {  // values of our own making: they never need quotes
    begin_value(key);
    write();
  }
  void text(std::string_view key, std::string_view value, size_t bytes_max) {
    begin_value(key);
    bool is_bare = value.size() < bytes_max / 2;
    for (const char c : value) is_bare = is_bare && plain_bare[static_cast<unsigned char>(c)];
    if (is_bare) return out_.put(value);
    out_.put('"');
    out_.put_escaped(value, bytes_max, plain_in_quotes, escape_in_quotes);
    out_.put('"');
  }
  void end() {}

 private:
  Cursor& out_;
  bool first_ = true;
};

/// The fields of a Line, whichever it is.
template <class Line>
class Fields {
 public:
  explicit Fields(Cursor& out) : out_(out), line_(out) {}

  void text(std::string_view key, std::string_view value, size_t bytes_max = field_bytes_max) {
    if (!value.empty()) line_.text(key, value, bytes_max);
  }
  void number(std::string_view key, uint64_t value) {
    line_.begin_value(key);
    out_.put_number(value);
  }
  void truth(std::string_view key, std::optional<bool> value) {
    if (!value) return;
    line_.begin_value(key);
    out_.put(*value ? "true" : "false");
  }
  void ms(std::string_view key, std::optional<uint64_t> us) {
    if (!us) return;
    line_.begin_value(key);
    out_.put_ms(*us);
  }
  void time(int64_t time_us) {
    line_.quoted("time", [&] { out_.put_time(time_us); });
  }
  void type(std::string_view name) {
    line_.quoted("type", [&] { out_.put(name); });
  }
  void endpoint(std::string_view key, const Endpoint& value) {
    line_.quoted(key, [&] { out_.put_endpoint(value); });
  }
  void fingerprint(std::string_view key, const std::optional<std::array<uint8_t, 32>>& value) {
    if (value) line_.quoted(key, [&] { out_.put_hex(*value); });
  }
  void end() { line_.end(); }

 private:
  Cursor& out_;
  Line line_;
};

/// The fields in the order of log_keys.def.
template <class Line>
void write_fields(Cursor& out, const ConnectionRecord& record) {
  Fields<Line> fields(out);
  fields.time(record.time_us);
  fields.type("connection");
  fields.number("id", record.id);
  fields.text("mode", record.mode);
  fields.endpoint("client", record.client);
  fields.endpoint("destination", record.destination);
  fields.text("user", record.user);
  fields.text("interface", record.interface);
  fields.text("sni", record.sni);
  fields.text("host", record.host);
  fields.text("alpn", record.alpn);
  fields.text("tls_version", record.tls_version);
  fields.text("ja4", record.ja4);
  fields.truth("ech", record.ech);
  fields.text("action", record.action);
  fields.text("tls_rule", record.tls_rule);
  fields.text("bypass_rule", record.bypass_rule);
  fields.text("access_rule", record.access_rule);
  fields.text("protection_rule", record.protection_rule);
  fields.text("origin_cert", record.origin_cert);
  fields.fingerprint("origin_fingerprint", record.origin_fingerprint);
  fields.number("bytes_up", record.bytes_up);
  fields.number("bytes_down", record.bytes_down);
  fields.ms("ms.peek", record.peek_us);
  fields.ms("ms.connect", record.connect_us);
  fields.ms("ms.origin_handshake", record.origin_handshake_us);
  fields.ms("ms.client_handshake", record.client_handshake_us);
  fields.ms("ms.total", record.total_us);
  fields.text("scan", record.scan);
  fields.text("reason", record.scan_reason);
  fields.text("close", to_string(record.close));
  fields.text("close_side", to_string(side_of(record.close)));
  fields.text("detail", record.detail);
  fields.end();
}

/// The fields in the order of request_keys.def.
template <class Line>
void write_fields(Cursor& out, const RequestRecord& record) {
  Fields<Line> fields(out);
  fields.time(record.time_us);
  fields.type("request");
  fields.number("id", record.id);
  fields.endpoint("client", record.client);
  fields.text("method", record.method);
  fields.text("url", record.url, url_bytes_max);
  if (record.status) fields.number("status", *record.status);
  fields.text("mime", record.mime);
  fields.number("bytes_up", record.bytes_up);
  fields.number("bytes_down", record.bytes_down);
  fields.text("action", record.action);
  fields.text("bypass_rule", record.bypass_rule);
  fields.text("access_rule", record.access_rule);
  fields.text("protection_rule", record.protection_rule);
  fields.text("scan", record.scan);
  fields.text("threat", record.threat);
  fields.ms("ms.total", record.total_us);
  fields.end();
}

/// ArcSight Common Event Format, version 0. Standard keys where there is one; `in` and `out` are seen from
/// the source, as the standard has it: `in` flows from source to destination. IPv6 has keys of its own (c6a2,
/// c6a3).
class CefLine {
 public:
  explicit CefLine(Cursor& out) : out_(out) {}

  void write(const ConnectionRecord& record) {
    header(to_string(record.close), "connection", record.action.empty() ? "undecided" : record.action,
           severity(record));
    time(record.time_us);
    number("externalId", record.id);
    address("src", "c6a2", "Source IPv6 Address", record.client.address);
    number("spt", record.client.port);
    address("dst", "c6a3", "Destination IPv6 Address", record.destination.address);
    number("dpt", record.destination.port);
    text("proto", "TCP");
    text("suser", record.user);
    text("deviceInboundInterface", record.interface);
    text("dhost", record.host);
    if (record.ech) text("app", "TLS");  // a ClientHello was read
    text("act", record.action);
    number("in", record.bytes_up);
    number("out", record.bytes_down);
    text("reason", to_string(record.close));
    labelled("cs1", "tls_rule", record.tls_rule);
    labelled("cs2", "access_rule", record.access_rule);
    labelled("cs3", "ja4", record.ja4);
    labelled("cs4", "sni", record.sni);
    labelled("cs5", "alpn", record.alpn);
    labelled("cs6", "tls_version", record.tls_version);
    ms("cfp1", "ms.total", record.total_us);
    ms("cfp2", "ms.peek", record.peek_us);
    ms("cfp3", "ms.connect", record.connect_us);
    // No standard key for these.
    text("sluiceMode", record.mode);
    if (record.ech) text("sluiceEch", *record.ech ? "true" : "false");
    text("sluiceBypassRule", record.bypass_rule);
    text("sluiceProtectionRule", record.protection_rule);
    text("sluiceOriginCert", record.origin_cert);
    if (record.origin_fingerprint) {
      begin("sluiceOriginFingerprint");
      out_.put_hex(*record.origin_fingerprint);
    }
    ms("sluiceMsOriginHandshake", {}, record.origin_handshake_us);
    ms("sluiceMsClientHandshake", {}, record.client_handshake_us);
    text("sluiceScan", record.scan);
    text("sluiceScanReason", record.scan_reason);
    text("sluiceCloseSide", to_string(side_of(record.close)));
    text("sluiceDetail", record.detail);
  }

  void write(const RequestRecord& record) {
    header("request", "request", record.action.empty() ? "undecided" : record.action, severity(record));
    time(record.time_us);
    number("externalId", record.id);
    address("src", "c6a2", "Source IPv6 Address", record.client.address);
    number("spt", record.client.port);
    text("app", "HTTP");
    text("requestMethod", record.method);
    text("request", record.url, url_bytes_max);
    text("act", record.action);
    number("in", record.bytes_up);
    number("out", record.bytes_down);
    if (record.status) {
      number("cn1", *record.status);
      label("cn1", "status");
    }
    labelled("cs1", "mime", record.mime);
    labelled("cs2", "access_rule", record.access_rule);
    labelled("cs3", "bypass_rule", record.bypass_rule);
    labelled("cs4", "protection_rule", record.protection_rule);
    labelled("cs5", "scan", record.scan);
    labelled("cs6", "threat", record.threat);
    ms("cfp1", "ms.total", record.total_us);
  }

 private:
  void header(std::string_view signature, std::string_view type, std::string_view action, char severity) {
    out_.put("CEF:0|Sluice|Sluice|" SLUICE_VERSION "|");
    out_.put(signature);
    out_.put('|');
    out_.put(type);
    out_.put(' ');
    out_.put_escaped(action, field_bytes_max, plain_in_cef_header, escape_in_cef);
    out_.put('|');
    out_.put(severity);
    out_.put('|');
  }
  /// 0 to 10. Traffic that passed is 1, what a rule or a limit ended 5, what the gateway itself got wrong 8.
  static char severity(const ConnectionRecord& record) {
    if (record.close == CloseReason::gateway_error) return '8';
    return side_of(record.close) == Side::gateway ? '5' : '1';
  }
  /// What passed is 1, what a rule refused 5, what has a threat in it 7, whether or not it was let through.
  static char severity(const RequestRecord& record) {
    if (!record.threat.empty()) return '7';
    return record.action.empty() || record.action == "allow" ? '1' : '5';
  }
  void begin(std::string_view key) {
    if (!first_) out_.put(' ');
    first_ = false;
    out_.put(key);
    out_.put('=');
  }
  void number(std::string_view key, uint64_t value) {
    begin(key);
    out_.put_number(value);
  }
  void time(int64_t time_us) { number("rt", static_cast<uint64_t>(time_us < 0 ? 0 : time_us) / 1000); }
  void text(std::string_view key, std::string_view value, size_t bytes_max = field_bytes_max) {
    if (value.empty()) return;
    begin(key);
    out_.put_escaped(value, bytes_max, plain_in_cef_value, escape_in_cef);
  }
  void label(std::string_view key, std::string_view name) {
    out_.put(' ');
    out_.put(key);
    out_.put("Label=");
    out_.put(name);
  }
  void labelled(std::string_view key, std::string_view name, std::string_view value) {
    if (value.empty()) return;
    text(key, value);
    label(key, name);
  }
  /// Without a name: the key is our own and needs no label.
  void ms(std::string_view key, std::string_view name, std::optional<uint64_t> us) {
    if (!us) return;
    begin(key);
    out_.put_ms(*us);
    if (!name.empty()) label(key, name);
  }
  void address(std::string_view key, std::string_view key_v6, std::string_view label_v6,
               const IpAddress& value) {
    const std::string_view used = value.is_v4() ? key : key_v6;
    begin(used);
    out_.put_address(value);
    if (!value.is_v4()) label(key_v6, label_v6);
  }

  Cursor& out_;
  bool first_ = true;
};

template <class Record>
size_t write_line(const Record& record, Format format, std::span<char, line_bytes_max> out) {
  Cursor cursor(out);
  switch (format) {
    case Format::json:
      write_fields<JsonLine>(cursor, record);
      break;
    case Format::key_value:
      write_fields<KeyValueLine>(cursor, record);
      break;
    case Format::cef:
      CefLine(cursor).write(record);
      break;
  }
  return cursor.finish();
}

}  // namespace

size_t format(const ConnectionRecord& record, Format format, std::span<char, line_bytes_max> out) {
  return write_line(record, format, out);
}

size_t format(const RequestRecord& record, Format format, std::span<char, line_bytes_max> out) {
  return write_line(record, format, out);
}

}  // namespace sluice::record
