#include "common/rpc/run_service.h"
#include "services/reporting/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "reporting", yagura::reporting::ReadSettings,
                                 yagura::reporting::NewApp);
}
