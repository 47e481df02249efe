#include "tls/tickets.h"

#include <doctest/doctest.h>

#include <vector>

namespace {

using sluice::tls::TicketBinding;
using sluice::tls::TicketKeys;
using sluice::tls::TicketSealer;
using Bytes = std::vector<uint8_t>;

constexpr int64_t start_s = 1'000'000;
constexpr int64_t period_s = TicketKeys::period_s;
constexpr TicketBinding binding{9, 8, 7};

TicketKeys keys(uint8_t fill = 1) {
  std::array<uint8_t, 32> seed{};
  seed.fill(fill);
  return TicketKeys(seed, start_s);
}

struct Ticket {
  Bytes content;
  std::array<uint8_t, 12> nonce{1, 2, 3};
  std::array<uint8_t, 16> name{};
  std::array<uint8_t, 16> tag{};
};

Ticket sealed(TicketSealer& sealer, int64_t now_s, uint8_t depth = 3) {
  Ticket ticket{.content = Bytes(101, 0xab)};
  REQUIRE(sealer.seal(now_s, binding, depth, ticket.nonce, ticket.content, ticket.name, ticket.tag));
  return ticket;
}

bool opens(TicketSealer& sealer, int64_t now_s, Ticket ticket, const TicketBinding& under = binding,
           uint8_t depth = 3) {
  uint8_t found = 0;
  if (!sealer.open(now_s, under, ticket.name, ticket.nonce, ticket.tag, ticket.content, found)) return false;
  Bytes expected(101, 0xab);
  expected.back() = depth;
  CHECK(ticket.content == expected);
  CHECK(found == depth);
  return true;
}

}  // namespace

TEST_CASE("a ticket opens with the key of its period and of the one after, no longer") {
  TicketSealer sealer(keys());
  const Ticket ticket = sealed(sealer, start_s + 5);
  CHECK(ticket.content != Bytes(101, 0xab));
  CHECK(opens(sealer, start_s + 5, ticket));
  CHECK(opens(sealer, start_s + period_s - 1, ticket));
  CHECK(opens(sealer, start_s + period_s, ticket));
  CHECK(opens(sealer, start_s + 2 * period_s - 1, ticket));
  CHECK(!opens(sealer, start_s + 2 * period_s, ticket));
}

TEST_CASE("workers that started from the same seed open each other's tickets, also when one looked later") {
  TicketSealer one(keys());
  TicketSealer other(keys());
  const int64_t later = start_s + 7 * period_s + 3;
  const Ticket ticket = sealed(one, later);
  CHECK(opens(other, later, ticket));
  CHECK(opens(other, later + period_s, ticket));
  TicketSealer stranger(keys(2));
  CHECK(!opens(stranger, later, ticket));
}

TEST_CASE("every period has its own key; time that goes backwards changes nothing") {
  TicketKeys all = keys();
  const auto first = all.current();
  CHECK(all.previous().period == -1);
  CHECK(!all.advance(start_s + period_s - 1));
  CHECK(all.advance(start_s + period_s));
  CHECK(all.previous().key == first.key);
  CHECK(all.current().key != first.key);
  CHECK(all.current().name != first.name);
  CHECK(!all.advance(start_s - 10));
  CHECK(all.current().period == 1);
}

TEST_CASE("a ticket that was sealed under one binding does not open under another") {
  TicketSealer sealer(keys());
  const Ticket ticket = sealed(sealer, start_s);
  for (size_t i = 0; i < binding.size(); ++i) {
    CAPTURE(i);
    TicketBinding other = binding;
    other[i] ^= 1;
    CHECK(!opens(sealer, start_s, ticket, other));
  }
  CHECK(!opens(sealer, start_s, ticket, {}));
  CHECK(opens(sealer, start_s, ticket, binding));
  // Neither with the key of the period before.
  CHECK(!opens(sealer, start_s + period_s, ticket, {}));
  CHECK(opens(sealer, start_s + period_s, ticket, binding));
}

TEST_CASE("a ticket that was changed anywhere does not open") {
  TicketSealer sealer(keys());
  const Ticket ticket = sealed(sealer, start_s);
  for (size_t i = 0; i < ticket.content.size(); i += 10) {
    Ticket bad = ticket;
    bad.content[i] ^= 1;
    CHECK(!opens(sealer, start_s, bad));
  }
  Ticket bad = ticket;
  bad.nonce[0] ^= 1;
  CHECK(!opens(sealer, start_s, bad));
  bad = ticket;
  bad.tag[15] ^= 1;
  CHECK(!opens(sealer, start_s, bad));
  bad = ticket;
  bad.name[0] ^= 1;
  CHECK(!opens(sealer, start_s, bad));
  bad = ticket;
  bad.content.clear();
  CHECK(!opens(sealer, start_s, bad));
}
