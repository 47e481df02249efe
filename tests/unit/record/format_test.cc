#include "record/format.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

using nlohmann::json;
using sluice::Endpoint;
using sluice::record::CloseReason;
using sluice::record::ConnectionRecord;
using sluice::record::Format;
using sluice::record::RequestRecord;

namespace {

template <class Record>
std::string line_of(const Record& record, Format format) {
  static std::array<char, sluice::record::line_bytes_max> buffer;
  return {buffer.data(), sluice::record::format(record, format, buffer)};
}

ConnectionRecord full_record() {
  ConnectionRecord record;
  record.time_us = 1'795'284'000'123'456;
  record.id = 18'446'744'073'709'551'615u;
  record.mode = "transparent";
  record.client = *Endpoint::parse("192.0.2.7:50000");
  record.destination = *Endpoint::parse("[2001:db8::1]:443");
  record.user = "alice";
  record.interface = "eth1";
  record.sni = "www.example.com";
  record.host = "www.example.com";
  record.alpn = "h2,http/1.1";
  record.tls_version = "1.3";
  record.ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  record.ech = true;
  record.action = "tunnel-sni";
  record.tls_rule = "Banks stay private";
  record.bypass_rule = "b";
  record.access_rule = "default";
  record.protection_rule = "p";
  record.origin_cert = "expired,name_mismatch";
  record.origin_fingerprint.emplace();
  for (size_t i = 0; i < 32; ++i) (*record.origin_fingerprint)[i] = static_cast<uint8_t>(i * 8 + 7);
  record.scan = "skipped";
  record.scan_reason = "tunnel";
  record.bytes_up = 517;
  record.bytes_down = 1'000'000;
  record.peek_us = 1'234;
  record.connect_us = 7;
  record.origin_handshake_us = 12'345;
  record.client_handshake_us = 2'001;
  record.total_us = 61'000'009;
  record.close = CloseReason::client_reset;
  record.detail = "ECONNRESET";
  return record;
}

RequestRecord full_request() {
  RequestRecord record;
  record.time_us = 1'795'284'000'140'000;
  record.id = 7;
  record.client = *Endpoint::parse("192.0.2.7:50000");
  record.method = "POST";
  record.url = "https://www.example.com/search?q=owls&n=2";
  record.status = 403;
  record.mime = "text/html";
  record.bytes_up = 12;
  record.bytes_down = 18'230;
  record.action = "block";
  record.bypass_rule = "b";
  record.access_rule = "No searching";
  record.protection_rule = "p";
  record.scan = "found";
  record.threat = "Eicar-Test-Signature";
  record.total_us = 41'250;
  return record;
}

struct LogKey {
  std::string name;
  bool always;
};
const std::vector<LogKey> log_keys = {
#define SLUICE_LOG_KEY(name, always, text) {name, always},
#include "record/log_keys.def"
#undef SLUICE_LOG_KEY
};
const std::vector<LogKey> request_keys = {
#define SLUICE_LOG_KEY(name, always, text) {name, always},
#include "record/request_keys.def"
#undef SLUICE_LOG_KEY
};

std::vector<std::string> names_of(const std::vector<LogKey>& keys) {
  std::vector<std::string> names;
  for (const LogKey& key : keys) names.push_back(key.name);
  return names;
}

std::vector<std::string> keys_of_json(const std::string& line) {
  std::vector<std::string> keys;
  const auto parsed = nlohmann::ordered_json::parse(line);
  for (const auto& [key, value] : parsed.items()) keys.push_back(key);
  return keys;
}

/// Reads a key=value line as strconv-like parsers do: bare up to a space, or quoted with JSON's escapes.
std::vector<std::pair<std::string, std::string>> read_key_value(const std::string& line) {
  std::vector<std::pair<std::string, std::string>> fields;
  size_t at = 0;
  while (at < line.size() && line[at] != '\n') {
    const size_t equals = line.find('=', at);
    REQUIRE(equals != std::string::npos);
    const std::string key = line.substr(at, equals - at);
    size_t end = equals + 1;
    std::string value;
    if (line[end] == '"') {
      size_t close = end + 1;
      while (line[close] != '"') close += line[close] == '\\' ? 2u : 1u;
      value = json::parse(line.substr(end, close + 1 - end)).get<std::string>();
      end = close + 1;
    } else {
      end = line.find_first_of(" \n", end);
      value = line.substr(equals + 1, end - equals - 1);
    }
    fields.emplace_back(key, value);
    at = line[end] == ' ' ? end + 1 : end;
  }
  return fields;
}

/// The extension of a CEF line: a key is the word before an unescaped "=".
std::vector<std::pair<std::string, std::string>> read_cef_extension(const std::string& line) {
  size_t at = 0;
  for (int bars = 0; bars < 7; ++at) {
    if (line[at] == '\\')
      ++at;
    else if (line[at] == '|')
      ++bars;
  }
  std::vector<std::pair<std::string, std::string>> fields;
  std::string text;
  for (; at < line.size() && line[at] != '\n'; ++at) {
    if (line[at] == '\\') {
      ++at;
      text += line[at] == 'n' ? '\n' : line[at] == 'r' ? '\r' : line[at];
    } else if (line[at] == '=') {
      const size_t space = text.rfind(' ');
      if (!fields.empty()) fields.back().second = text.substr(0, space);
      fields.emplace_back(space == std::string::npos ? text : text.substr(space + 1), "");
      text.clear();
    } else {
      text += line[at];
    }
  }
  fields.back().second = text;
  return fields;
}

std::string value_of(const std::vector<std::pair<std::string, std::string>>& fields, const std::string& key) {
  for (const auto& [name, value] : fields)
    if (name == key) return value;
  return "(absent)";
}

/// What a reader of JSON or key=value gets back: a byte that is not UTF-8 becomes the character of its
/// number.
std::string utf8_of_latin1(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

}  // namespace

TEST_CASE("S35: a JSON line carries every field under its documented key, in the documented order") {
  const std::string line = line_of(full_record(), Format::json);
  CHECK(
      line ==
      R"({"time":"2026-11-21T18:00:00.123456Z","type":"connection","id":18446744073709551615,"mode":"transparent",)"
      R"("client":"192.0.2.7:50000","destination":"[2001:db8::1]:443","user":"alice","interface":"eth1","sni":"www.example.com",)"
      R"("host":"www.example.com","alpn":"h2,http/1.1","tls_version":"1.3",)"
      R"("ja4":"t13d1516h2_8daaf6152771_b186095e22b6","ech":true,"action":"tunnel-sni",)"
      R"("tls_rule":"Banks stay private","bypass_rule":"b","access_rule":"default","protection_rule":"p",)"
      R"("origin_cert":"expired,name_mismatch",)"
      R"("origin_fingerprint":"070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff",)"
      R"("bytes_up":517,"bytes_down":1000000,"ms.peek":1.234,"ms.connect":0.007,)"
      R"("ms.origin_handshake":12.345,"ms.client_handshake":2.001,"ms.total":61000.009,)"
      R"("scan":"skipped","reason":"tunnel","close":"client_reset","close_side":"client","detail":"ECONNRESET"})"
      "\n");
  CHECK(keys_of_json(line) == names_of(log_keys));
}

TEST_CASE(
    "S35: the line of a request carries every field under its documented key, in the documented order") {
  const std::string line = line_of(full_request(), Format::json);
  CHECK(
      line ==
      R"({"time":"2026-11-21T18:00:00.140000Z","type":"request","id":7,"client":"192.0.2.7:50000",)"
      R"("method":"POST","url":"https://www.example.com/search?q=owls&n=2","status":403,"mime":"text/html",)"
      R"("bytes_up":12,"bytes_down":18230,"action":"block","bypass_rule":"b","access_rule":"No searching",)"
      R"("protection_rule":"p","scan":"found","threat":"Eicar-Test-Signature","ms.total":41.250})"
      "\n");
  CHECK(keys_of_json(line) == names_of(request_keys));
  std::vector<std::string> in_key_value;
  for (const auto& [key, value] : read_key_value(line_of(full_request(), Format::key_value)))
    in_key_value.push_back(key);
  CHECK(in_key_value == names_of(request_keys));
}

TEST_CASE("S35: what is absent is left out of a line, and what is always there is documented so") {
  std::set<std::string> always;
  for (const LogKey& key : log_keys)
    if (key.always) always.insert(key.name);
  std::set<std::string> in_json;
  const json parsed = json::parse(line_of(ConnectionRecord{}, Format::json));
  for (const auto& [key, value] : parsed.items()) in_json.insert(key);
  CHECK(in_json == always);
  std::set<std::string> in_key_value;
  for (const auto& [key, value] : read_key_value(line_of(ConnectionRecord{}, Format::key_value)))
    in_key_value.insert(key);
  CHECK(in_key_value == always);

  std::vector<std::string> always_in_requests;
  for (const LogKey& key : request_keys)
    if (key.always) always_in_requests.push_back(key.name);
  CHECK(keys_of_json(line_of(RequestRecord{}, Format::json)) == always_in_requests);
}

TEST_CASE("key=value: the URL of a request is quoted for its equals signs, and stays whole") {
  const std::string line = line_of(full_request(), Format::key_value);
  CHECK(line.find(
            "time=2026-11-21T18:00:00.140000Z type=request id=7 client=192.0.2.7:50000 method=POST "
            "url=\"https://www.example.com/search?q=owls&n=2\" status=403 mime=text/html bytes_up=12 ") == 0);
  CHECK(line.ends_with(" ms.total=41.250\n"));
}

TEST_CASE("CEF of a request: standard keys, and a severity that tells what came of it") {
  RequestRecord record = full_request();
  record.client = *Endpoint::parse("[2001:db8::7]:50000");
  const std::string line = line_of(record, Format::cef);
  CHECK(line.find("CEF:0|Sluice|Sluice|" SLUICE_VERSION
                  "|request|request block|7|rt=1795284000140 externalId=7 ") == 0);
  const auto fields = read_cef_extension(line);
  CHECK(value_of(fields, "c6a2") == "2001:db8::7");
  CHECK(value_of(fields, "src") == "(absent)");
  CHECK(value_of(fields, "spt") == "50000");
  CHECK(value_of(fields, "requestMethod") == "POST");
  CHECK(value_of(fields, "request") == record.url);
  CHECK(value_of(fields, "act") == "block");
  CHECK(value_of(fields, "in") == "12");
  CHECK(value_of(fields, "out") == "18230");
  CHECK(value_of(fields, "cn1") == "403");
  CHECK(value_of(fields, "cn1Label") == "status");
  CHECK(value_of(fields, "cs1") == "text/html");
  CHECK(value_of(fields, "cs2") == "No searching");
  CHECK(value_of(fields, "cs3") == "b");
  CHECK(value_of(fields, "cs4") == "p");
  CHECK(value_of(fields, "cs5") == "found");
  CHECK(value_of(fields, "cs6") == "Eicar-Test-Signature");
  CHECK(value_of(fields, "cfp1") == "41.250");

  const auto severity_of = [](std::string_view action, std::string_view threat) {
    RequestRecord request;
    request.action = action;
    request.threat = threat;
    const std::string text = line_of(request, Format::cef);
    return text.at(text.find("|rt=") - 1);
  };
  CHECK(severity_of("", "") == '1');
  CHECK(severity_of("allow", "") == '1');
  CHECK(severity_of("block", "") == '5');
  CHECK(severity_of("redirect", "") == '5');
  CHECK(severity_of("allow", "Eicar-Test-Signature") == '7');
}

TEST_CASE("key=value: quotes only where they are needed") {
  ConnectionRecord record = full_record();
  record.tls_rule = "say \"no\" a=b\\c";
  const std::string line = line_of(record, Format::key_value);
  CHECK(line.find(
            "time=2026-11-21T18:00:00.123456Z type=connection id=18446744073709551615 mode=transparent ") ==
        0);
  CHECK(line.find(R"( tls_rule="say \"no\" a=b\\c" )") != std::string::npos);
  CHECK(line.find(" client=192.0.2.7:50000 destination=[2001:db8::1]:443 ") != std::string::npos);
  CHECK(line.find(" ms.peek=1.234 ") != std::string::npos);
  CHECK(value_of(read_key_value(line), "tls_rule") == record.tls_rule);
}

TEST_CASE("CEF: standard keys, counted from the source's side, IPv6 in its own keys, separators escaped") {
  ConnectionRecord record = full_record();
  record.tls_rule = "a=b|c\\d\ne";
  record.action = "tun|nel\\";  // never so, but the header must hold
  const std::string line = line_of(record, Format::cef);
  CHECK(line.find("CEF:0|Sluice|Sluice|" SLUICE_VERSION
                  "|client_reset|connection tun\\|nel\\\\|1|rt=1795284000123 ") == 0);
  CHECK(line.find(" cs1=a\\=b|c\\\\d\\ne cs1Label=tls_rule ") != std::string::npos);
  const auto fields = read_cef_extension(line);
  CHECK(value_of(fields, "src") == "192.0.2.7");
  CHECK(value_of(fields, "spt") == "50000");
  CHECK(value_of(fields, "dst") == "(absent)");
  CHECK(value_of(fields, "c6a3") == "2001:db8::1");
  CHECK(value_of(fields, "c6a3Label") == "Destination IPv6 Address");
  CHECK(value_of(fields, "dpt") == "443");
  CHECK(value_of(fields, "dhost") == "www.example.com");
  CHECK(value_of(fields, "app") == "TLS");
  CHECK(value_of(fields, "in") == "517");
  CHECK(value_of(fields, "out") == "1000000");
  CHECK(value_of(fields, "reason") == "client_reset");
  CHECK(value_of(fields, "cs1") == "a=b|c\\d\ne");
  CHECK(value_of(fields, "cfp2") == "1.234");
  CHECK(value_of(fields, "sluiceOriginCert") == "expired,name_mismatch");
  CHECK(value_of(fields, "sluiceOriginFingerprint") ==
        "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
  CHECK(value_of(fields, "sluiceMsOriginHandshake") == "12.345");
  CHECK(value_of(fields, "sluiceMsClientHandshake") == "2.001");
  CHECK(value_of(fields, "sluiceScanReason") == "tunnel");
}

TEST_CASE("times are right at leap days, ends of years and the ends of what can be written") {
  const auto time_of = [](int64_t us) {
    ConnectionRecord record;
    record.time_us = us;
    return json::parse(line_of(record, Format::json))["time"].get<std::string>();
  };
  CHECK(time_of(0) == "1970-01-01T00:00:00.000000Z");
  CHECK(time_of(951'782'399'999'999) == "2000-02-28T23:59:59.999999Z");
  CHECK(time_of(951'782'400'000'000) == "2000-02-29T00:00:00.000000Z");
  CHECK(time_of(1'735'689'599'000'001) == "2024-12-31T23:59:59.000001Z");
  CHECK(time_of(4'107'542'400'000'000) == "2100-03-01T00:00:00.000000Z");
  CHECK(time_of(253'402'300'799'999'999) == "9999-12-31T23:59:59.999999Z");
  CHECK(time_of(253'402'300'800'000'000) == "1970-01-01T00:00:00.000000Z");
  CHECK(time_of(-1) == "1970-01-01T00:00:00.000000Z");
}

namespace {

const std::vector<std::string> hostile_texts = {"a\"b",
                                                "a\\",
                                                "\n{\"type\":\"connection\"}",
                                                std::string("nul\0nul", 7),
                                                "\x1b[2J",
                                                "\x7f",
                                                " leading and trailing ",
                                                "a b=c d=\"e\"",
                                                "=",
                                                "\"",
                                                "\r\n",
                                                "\t",
                                                "||",
                                                "\\u0041",
                                                "act=block"};

/// `text` is the value of `key` in `record`, which is otherwise like `harmless`.
template <class Record>
void check_contained(const Record& record, const Record& harmless, const std::string& key,
                     const std::string& text, size_t key_count, const std::string& action) {
  CAPTURE(text);
  const std::string as_json = line_of(record, Format::json);
  CHECK(std::count(as_json.begin(), as_json.end(), '\n') == 1);
  CHECK(json::parse(as_json)[key] == text);
  const std::string as_key_value = line_of(record, Format::key_value);
  CHECK(std::count(as_key_value.begin(), as_key_value.end(), '\n') == 1);
  CHECK(value_of(read_key_value(as_key_value), key) == text);
  CHECK(read_key_value(as_key_value).size() == key_count);
  const std::string as_cef = line_of(record, Format::cef);
  CHECK(std::count(as_cef.begin(), as_cef.end(), '\n') == 1);
  CHECK(value_of(read_cef_extension(as_cef), "act") == action);
  CHECK(read_cef_extension(as_cef).size() == read_cef_extension(line_of(harmless, Format::cef)).size());
  for (const std::string& line : {as_json, as_key_value, as_cef})
    for (const char c : line.substr(0, line.size() - 1)) CHECK(static_cast<unsigned char>(c) >= 0x20);
}

}  // namespace

TEST_CASE("hostile names stay inside their field, in every format") {
  for (const std::string& name : hostile_texts) {
    ConnectionRecord record = full_record();
    record.sni = name;
    record.alpn = name;
    check_contained(record, full_record(), "sni", name, log_keys.size(), "tunnel-sni");
  }
}

TEST_CASE("hostile methods, URLs, media types and threat names stay inside their field, in every format") {
  for (const std::string& text : hostile_texts) {
    RequestRecord record = full_request();
    record.method = record.url = record.mime = record.threat = text;
    for (const char* key : {"method", "url", "mime", "threat"})
      check_contained(record, full_request(), key, text, request_keys.size(), "block");
  }
}

TEST_CASE("UTF-8 passes; what is not UTF-8, or would deceive a reader, is escaped") {
  const auto raw_sni = [](const std::string& name) {
    ConnectionRecord record;
    record.sni = name;
    const std::string line = line_of(record, Format::json);
    CHECK(json::parse(line)["sni"].is_string());  // throws on invalid UTF-8
    const size_t begin = line.find("\"sni\":\"") + 7;
    return line.substr(begin, line.find("\",\"bytes_up\"") - begin);
  };
  CHECK(raw_sni("b\u00fccher.example \u4e2d \U0001f512") == "b\u00fccher.example \u4e2d \U0001f512");
  CHECK(raw_sni("\xff\xfe") == "\\u00ff\\u00fe");
  CHECK(raw_sni("\xc0\xaf") == "\\u00c0\\u00af");                        // overlong slash
  CHECK(raw_sni("\xe0\x80\xaf") == "\\u00e0\\u0080\\u00af");             // overlong slash, three bytes
  CHECK(raw_sni("\xed\xa0\x80") == "\\u00ed\\u00a0\\u0080");             // a surrogate
  CHECK(raw_sni("\xf4\x90\x80\x80") == "\\u00f4\\u0090\\u0080\\u0080");  // past U+10FFFF
  CHECK(raw_sni("\xf0\x9f\x94") == "\\u00f0\\u009f\\u0094");             // cut off
  CHECK(raw_sni("\xc3") == "\\u00c3");
  CHECK(raw_sni("\u009b31m") == "\\u009b31m");  // C1: a terminal escape
  CHECK(raw_sni("a\u2028b\u2029c\u0085") == "a\\u2028b\\u2029c\\u0085");
  CHECK(raw_sni("\u202egnp.exe") == "\\u202egnp.exe");  // right-to-left override
  ConnectionRecord record;
  record.sni = "x\xff\u2028\x01y";
  CHECK(line_of(record, Format::cef).find("cs4=x\\\\xff\\\\xe2\\\\x80\\\\xa8\\\\x01y ") != std::string::npos);
}

TEST_CASE("every value of every byte reads back, in every position of a short name") {
  for (int first = 0; first < 256; ++first) {
    for (const char* tail : {"", "a", "\x80", "\xbf\xbf"}) {
      const std::string name = static_cast<char>(first) + std::string(tail);
      ConnectionRecord record;
      record.host = name;
      const std::string read = json::parse(line_of(record, Format::json))["host"].get<std::string>();
      const bool same = read == name || read == utf8_of_latin1(name) ||
                        read == name.substr(0, 2) + utf8_of_latin1(name.size() > 2 ? name.substr(2) : "");
      CHECK_MESSAGE(same, first);
      CHECK(value_of(read_key_value(line_of(record, Format::key_value)), "host") == read);
    }
  }
}

TEST_CASE("a field is cut at field_bytes_max with an ellipsis; the longest line fits") {
  using sluice::record::field_bytes_max;
  using sluice::record::line_bytes_max;
  for (const size_t length :
       {field_bytes_max - 18, field_bytes_max - 17, field_bytes_max, field_bytes_max * 100}) {
    const std::string name(length, 'a');
    ConnectionRecord record;
    record.sni = name;
    for (const Format format : {Format::json, Format::key_value}) {
      const std::string line = line_of(record, format);
      const std::string read = format == Format::json ? json::parse(line)["sni"].get<std::string>()
                                                      : value_of(read_key_value(line), "sni");
      CHECK(read ==
            (length <= field_bytes_max - 18 ? name : std::string(field_bytes_max - 18, 'a') + "\u2026"));
    }
  }
  for (const std::string& unit : {std::string("\x01"), std::string("\u2028"), std::string("\""),
                                  std::string("\xff"), std::string("a\u2028"), std::string("\U0001f512")}) {
    std::string name;
    while (name.size() < 5000) name += unit;
    ConnectionRecord record = full_record();
    record.time_us = 253'402'300'799'999'999;
    record.client = record.destination = *Endpoint::parse("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    record.peek_us = record.connect_us = record.origin_handshake_us = record.client_handshake_us = 0xffffffff;
    record.bytes_up = record.bytes_down = record.total_us = ~0ull;
    record.mode = record.user = record.interface = record.sni = record.host = record.alpn = record.tls_version =
        record.ja4 = record.action = record.tls_rule = record.bypass_rule = record.access_rule =
            record.protection_rule = record.scan = record.scan_reason = record.detail = record.origin_cert =
                name;
    for (const Format format : {Format::json, Format::key_value, Format::cef})
      CHECK(line_of(record, format).size() <= line_bytes_max);
    CHECK(json::parse(line_of(record, Format::json)).size() == log_keys.size());
  }
}

TEST_CASE("a URL is cut at url_bytes_max with an ellipsis; the longest line of a request fits") {
  using sluice::record::field_bytes_max;
  using sluice::record::line_bytes_max;
  using sluice::record::url_bytes_max;
  const std::string begin = "https://www.example.com/?q=";
  for (const size_t length :
       {field_bytes_max + 1, url_bytes_max - 18, url_bytes_max - 17, url_bytes_max, url_bytes_max * 100}) {
    const std::string url = begin + std::string(length - begin.size(), 'a');
    RequestRecord record;
    record.url = url;
    const std::string shown =
        length <= url_bytes_max - 18 ? url : url.substr(0, url_bytes_max - 18) + "\u2026";
    const std::string as_json = line_of(record, Format::json);
    CHECK(json::parse(as_json)["url"].get<std::string>() == shown);
    const std::string as_key_value = line_of(record, Format::key_value);
    CHECK(value_of(read_key_value(as_key_value), "url") == shown);
    // In CEF the "=" of the query takes two bytes.
    const std::string in_cef = value_of(read_cef_extension(line_of(record, Format::cef)), "request");
    CHECK(in_cef == (length < url_bytes_max - 18 ? url : url.substr(0, url_bytes_max - 19) + "\u2026"));
  }
  for (const std::string& unit : {std::string("\x01"), std::string("\u2028"), std::string("\""),
                                  std::string("\xff"), std::string("="), std::string("\U0001f512")}) {
    std::string text;
    while (text.size() < 40'000) text += unit;
    RequestRecord record = full_request();
    record.time_us = 253'402'300'799'999'999;
    record.client = *Endpoint::parse("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    record.id = record.bytes_up = record.bytes_down = record.total_us = ~0ull;
    record.status = 65'535;
    record.method = record.url = record.mime = record.action = record.bypass_rule = record.access_rule =
        record.protection_rule = record.scan = record.threat = text;
    for (const Format format : {Format::json, Format::key_value, Format::cef})
      CHECK(line_of(record, format).size() <= line_bytes_max);
    CHECK(json::parse(line_of(record, Format::json)).size() == request_keys.size());
  }
}
