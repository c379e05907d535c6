#pragma once

#include "common/store/kind.h"

namespace yagura::reporting {

// Reports as resources. Their files are blobs, named by the digests in the resource.
store::Kind ReportKind();

}  // namespace yagura::reporting
