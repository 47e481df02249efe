// What a reader made of some bytes, as text that can be compared: the same for every cut of the same bytes.
// Used by unit tests and fuzz targets.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "http/reader.h"

namespace sluice::http::testing {

inline std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline std::string framing_text(Framing framing, uint64_t length) {
  switch (framing) {
    case Framing::none:
      return "none";
    case Framing::length:
      return fmt::format("length {}", length);
    case Framing::chunked:
      return "chunked";
    case Framing::until_close:
      return "until_close";
  }
  return "?";
}

inline std::string dump(const Headers& headers) {
  std::string text;
  for (size_t i = 0; i < headers.size(); ++i) {
    text += fmt::format("\n  [{}]=[{}]", headers[i].name, headers[i].value);
  }
  return text;
}

inline std::string dump(const RequestHead& head) {
  std::string url;
  head.append_url(url, true, "fallback.example");
  return fmt::format("{} {} HTTP/1.{} host={} port={} url={} body={}{}{}{}{}{}", head.method(), head.target(),
                     head.version_minor, head.host(), head.port, url,
                     framing_text(head.framing, head.content_length), head.keep_alive ? " keep" : " close",
                     head.expects_continue ? " expect" : "", head.upgrade ? " upgrade" : "",
                     head.trailers_wanted ? " trailers" : "", dump(head.headers));
}

inline std::string dump(const ResponseHead& head) {
  return fmt::format("HTTP/1.{} {} {} body={}{}{}{}", head.version_minor, head.status, head.reason(),
                     framing_text(head.framing, head.content_length), head.keep_alive ? " keep" : " close",
                     head.upgraded ? " upgraded" : "", dump(head.headers));
}

struct Transcript {
  std::vector<std::string> lines;  // one per event; neighbouring body spans are one line
  bool operator==(const Transcript&) const = default;

  void add(std::string_view kind, std::string_view text = {}) {
    const bool goes_on = (kind == "body" || kind == "raw") && !lines.empty() &&
                         lines.back().starts_with(kind) && lines.back()[kind.size()] == ':';
    if (goes_on) {
      lines.back() += text;
    } else {
      lines.push_back(fmt::format("{}:{}", kind, text));
    }
  }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }
};

inline bool feed(RequestReader& reader, ByteReader& in, Transcript& out, bool upgrade) {
  for (;;) {
    const size_t before = in.left();
    const Event event = reader.next(in);
    switch (event.kind) {
      case Event::Kind::need_more:
        SLUICE_CHECK(in.empty());
        return true;
      case Event::Kind::head:
        out.add("head", dump(reader.head()));
        break;
      case Event::Kind::body:
      case Event::Kind::raw:
        SLUICE_CHECK(!event.bytes.empty() && event.bytes.size() <= before);
        out.add(to_string(event.kind), as_text(event.bytes));
        break;
      case Event::Kind::end:
        out.add("end", dump(reader.trailers()));
        break;
      case Event::Kind::undecided:
        SLUICE_CHECK(in.left() == before);
        out.add("undecided");
        upgrade ? reader.upgraded() : reader.declined();
        break;
      case Event::Kind::over:
        SLUICE_CHECK(in.left() == before);
        if (out.lines.back() != "over:") out.add("over");
        return false;
      case Event::Kind::refused:
        out.add("refused", name_of(event.refusal));
        return false;
      case Event::Kind::interim:
        SLUICE_CHECK(false);
        return false;
    }
  }
}

inline bool feed(ResponseReader& reader, ByteReader& in, Transcript& out) {
  for (;;) {
    const size_t before = in.left();
    const Event event = reader.next(in);
    switch (event.kind) {
      case Event::Kind::need_more:
        SLUICE_CHECK(in.empty());
        return true;
      case Event::Kind::head:
        out.add("head", dump(reader.head()));
        break;
      case Event::Kind::interim:
        out.add("interim", dump(reader.head()));
        break;
      case Event::Kind::body:
      case Event::Kind::raw:
        SLUICE_CHECK(!event.bytes.empty() && event.bytes.size() <= before);
        out.add(to_string(event.kind), as_text(event.bytes));
        break;
      case Event::Kind::end:
        out.add("end", dump(reader.trailers()));
        break;
      case Event::Kind::over:
        SLUICE_CHECK(in.left() == before);
        if (out.lines.back() != "over:") out.add("over");
        return false;
      case Event::Kind::refused:
        out.add("refused", name_of(event.refusal));
        return false;
      case Event::Kind::undecided:
        SLUICE_CHECK(false);
        return false;
    }
  }
}

/// Each piece is an allocation of its own of just that size, so that a sanitizer sees a read past its end and
/// a view that is kept for too long.
inline std::vector<std::vector<uint8_t>> pieces_of(std::string_view bytes, const std::vector<size_t>& cuts) {
  std::vector<std::vector<uint8_t>> pieces;
  size_t from = 0;
  const auto add = [&](size_t to) {
    const auto part = bytes_of(bytes.substr(from, to - from));
    pieces.emplace_back(part.begin(), part.end());
    from = to;
  };
  for (const size_t cut : cuts) add(cut);
  add(bytes.size());
  return pieces;
}

/// Transcript of requests, cut at those offsets (in ascending order), and what the end of the bytes means
/// then.
inline Transcript read_requests(std::string_view bytes, const std::vector<size_t>& cuts = {},
                                bool upgrade = true) {
  RequestReader reader;
  Transcript out;
  for (const auto& piece : pieces_of(bytes, cuts)) {
    ByteReader in(piece);
    if (!feed(reader, in, out, upgrade)) break;
  }
  out.add("finish", to_string(reader.finish()));
  return out;
}

/// The heads of requests in a row, to tell a ResponseReader of.
inline std::vector<RequestHead> heads_of(std::string_view requests) {
  std::vector<RequestHead> heads;
  RequestReader reader;
  ByteReader in(bytes_of(requests));
  for (;;) {
    const Event event = reader.next(in);
    if (event.kind == Event::Kind::head) heads.push_back(std::move(reader.head()));
    if (event.kind == Event::Kind::undecided) reader.declined();
    if (event.kind == Event::Kind::need_more || event.kind == Event::Kind::over) return heads;
    SLUICE_CHECK(event.kind != Event::Kind::refused);
  }
}

inline Transcript read_responses(std::string_view requests, std::string_view bytes,
                                 const std::vector<size_t>& cuts = {}) {
  ResponseReader reader;
  for (const RequestHead& head : heads_of(requests)) SLUICE_CHECK(reader.expect(head));
  Transcript out;
  for (const auto& piece : pieces_of(bytes, cuts)) {
    ByteReader in(piece);
    if (!feed(reader, in, out)) break;
  }
  out.add("finish", to_string(reader.finish()));
  return out;
}

inline std::vector<size_t> every_offset(size_t size) {
  std::vector<size_t> cuts;
  for (size_t at = 1; at < size; ++at) cuts.push_back(at);
  return cuts;
}

}  // namespace sluice::http::testing
