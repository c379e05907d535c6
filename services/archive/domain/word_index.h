#pragma once

#include <array>
#include <string>
#include <string_view>

// The skip indexes of the table of events, but that of event times.
namespace yagura::archive {

// A skip index of the table of events that words are found by: a Bloom filter of the n-grams (of
// characters) of a String expression.
struct WordIndex {
  std::string_view name;
  std::string_view expression;
  std::string_view type;
  // Whether words of ASCII alone are found by it, too.
  bool has_ascii;
};

// By characters where a line is UTF-8, and what is not is U+FFFD: a stray byte would else take
// characters of the word behind it for a part of its own. A filter a granule of rows: ClickHouse
// skips no more than one granule a filter where several indexes decide together (docs/adr/0014).
// No literals in them: ClickHouse would not know the expression again in a query.
// Of the raw line, four characters; and two of a line that is not ASCII, which is what words of
// Japanese may be short as.
inline constexpr std::array<WordIndex, 2> kRawIndexes{
    WordIndex{"words", "lower(toValidUTF8(raw))", "ngrambf_v1(4, 16384, 2, 0)", true},
    WordIndex{"wide_words", "repeat(lower(toValidUTF8(raw)), length(raw) != lengthUTF8(raw))",
              "ngrambf_v1(2, 16384, 2, 0)", false}};
// Of the column `folded`, which only such lines have.
inline constexpr WordIndex kFoldedIndex{"folded_words", "toValidUTF8(folded)",
                                        "ngrambf_v1(2, 16384, 2, 0)", true};

// What each filter of a granule takes, uncompressed, of each of the three.
inline constexpr unsigned kWordFilterBytes = 16'384;
inline constexpr unsigned kWordIndexes = 3;
// What the filters of addresses take of a granule (8,192 rows) at most: all of them less than those
// of words, so that a part's size tells whether it has these.
inline constexpr std::array<std::string_view, 4> kIndexedAddresses{
    "src_ip", "dst_ip", "src_translated_ip", "dst_translated_ip"};

// "words,wide_words,folded_words", as settings of ClickHouse list them.
std::string WordIndexNames();

// "INDEX src_ip_filter src_ip TYPE ..., INDEX words ...", in CREATE TABLE; with "ADD INDEX IF NOT
// EXISTS" for "INDEX" in ALTER TABLE.
std::string SkipIndexes(std::string_view begin);

// "MATERIALIZE INDEX src_ip_filter IN PARTITION ID '20261122', ...": all of them.
std::string MakeSkipIndexes(std::string_view partition);

}  // namespace yagura::archive
