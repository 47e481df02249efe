#include "rules/judge.h"

#include "base/check.h"
#include "rules/decide.h"
#include "rules/policy.h"

namespace sluice::rules {

struct Judge::Scratch {
  explicit Scratch(const Policy& policy) : evaluator(policy) {}
  Evaluator evaluator;
};

Judge::Judge(std::shared_ptr<const Policy> policy)
    : policy_(std::move(policy)),
      scratch_((SLUICE_CHECK(policy_ != nullptr), std::make_unique<Scratch>(*policy_))) {}
Judge::~Judge() = default;
Judge::Judge(Judge&&) noexcept = default;
Judge& Judge::operator=(Judge&&) noexcept = default;

const Policy& Judge::policy() const { return *policy_; }

Decision Judge::connect(const Facts& facts) { return decide_connect(*policy_, scratch_->evaluator, facts); }

Decision Judge::http_connect(const Facts& facts, bool last) {
  return decide_http_connect(*policy_, scratch_->evaluator, facts, last);
}

Decision Judge::hello(const Facts& facts) { return decide_hello(*policy_, scratch_->evaluator, facts); }

Decision Judge::request(const Facts& facts, bool last) {
  return decide_message(*policy_, scratch_->evaluator, facts, Event::request, last);
}

Decision Judge::response(const Facts& facts, bool last) {
  return decide_message(*policy_, scratch_->evaluator, facts, Event::response, last);
}

}  // namespace sluice::rules
