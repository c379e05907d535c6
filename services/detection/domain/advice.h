#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// Cause and countermeasure for classes of findings, in Japanese and English, with places for the
// tenant's own values: the texts of content/advice. Immutable once filled: thread-safe then.
class AdviceBook {
 public:
  static constexpr size_t kMaxFile = 64 * 1024;
  static constexpr size_t kMaxText = 4000;
  static constexpr size_t kMaxEntries = 500;

  // One file; `id` is its name without the extension. INVALID_ARGUMENT (BAD_ADVICE) where it says
  // what is not known, lacks a language, or is too long. content/advice/README.md has the form.
  absl::Status Add(std::string_view id, std::string_view yaml);

  // The entry that fits best: one for the finding's rule, else the most specific tags and words of
  // its title and signature, else the default one. Empty where there is none.
  std::string Choose(const v1::Finding& finding) const;

  // The fitting entry with the finding's values filled in: plain text, printable, of bounded
  // length. In these languages ("ja", "en"), in this order. Without texts where no entry fits.
  v1::Advice Fill(const v1::Finding& finding, const std::vector<std::string>& languages) const;

  size_t size() const { return entries_.size(); }

 private:
  struct Texts {
    std::string title;
    std::string cause;
    std::string countermeasure;
  };
  struct Entry {
    std::vector<std::string> rules;
    std::vector<std::string> tags;
    std::vector<std::string> words;  // as PaddedWords makes them
    bool is_default = false;
    std::map<std::string, Texts, std::less<>> texts;  // by language
  };
  static int Score(const Entry& entry, const v1::Finding& finding, const std::string& words);

  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace yagura::detection
